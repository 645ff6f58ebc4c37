# SPDX-License-Identifier: MIT
"""What the tests of csrc/shim/redirect/ share: building redirect/, running a host with the shim and without.

Each scenario of redirect/host*.c runs with and without the shim; stdout and exit status must be the same. The shim
writes its counters to stderr, a line for each point (redirect/shim.c).
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent / "redirect"
CSRC = Path(__file__).parents[2] / "csrc"
CC = os.environ.get("CC", "gcc")
ALL_FOUR = "how 0: 42\nhow 1: 42\nhow 2: 42\nhow 3: 42\n"
DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class Workshop:
    """A folder in which the C files of redirect/ are built."""

    folder: Path
    built: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def with_basics(cls, folder: Path) -> Workshop:
        """With the shim, the host, and one module."""
        workshop = cls(folder)
        workshop.shim()
        workshop.host()
        workshop.module("libmodule.so")
        return workshop

    def build(self, target: str, source: str, *flags: str) -> Path:
        """A program (no suffix) or library from one file; flags follow the source, as libraries must."""
        path = self.folder / target
        if self.built.get(target) == (source, *flags):
            return path
        self.built[target] = (source, *flags)
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = ["-shared", "-fPIC"] if target.endswith(".so") else []
        command = [CC, "-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", f"-I{CSRC}", *kind]
        subprocess.run([*command, str(HERE / source), "-o", str(path), *flags], check=True)
        return path

    def provider(self, target: str = "libprovider.so", *flags: str) -> list[str]:
        """Builds a library with answer(); returns what links a module in the same folder against it."""
        path = self.build(target, "provider.c", f"-Wl,-soname,{Path(target).name}", *flags)
        return [str(path), f"-Wl,-rpath,{path.parent}"]

    def module(self, target: str, *flags: str) -> Path:
        return self.build(target, "module.c", *self.provider(), *flags)

    def shim(self, target: str = "libshim.so", *flags: str) -> Path:
        shim = CSRC / "shim"
        sources = [
            *map(str, sorted((shim / "redirect").glob("*.c"))),
            str(shim / "calls" / "dlopen.c"),
        ]
        flags = ("-fvisibility=hidden", "-Wl,-z,now", "-Wl,-z,nodelete", *flags)
        return self.build(target, "shim.c", *sources, *flags)

    def host(self, target: str = "host", *flags: str) -> Path:
        others = [str(HERE / "host_pages.c"), str(HERE / "host_threads.c")]
        return self.build(
            target, "host.c", *others, "-rdynamic", f"-Wl,-rpath,{self.folder}", *flags
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of a run with the shim; stdout was the same without it."""

    stdout: str
    notes: dict[str, dict[str, int]]


def run(command: list[str | Path], **variables: str | Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {name: str(value) for name, value in variables.items()}
    return subprocess.run(
        [str(word) for word in command],
        env=environment,
        text=True,
        capture_output=True,
        timeout=DEADLINE_S,
        check=False,
    )


def compare(
    host: Path, *arguments: str | Path, preload: bool = True, **variables: str | Path
) -> Outcome:
    """Runs the scenario without the shim beside the host, with it preloaded, and with it."""
    shim = host.parent / "libshim.so"
    plain = run([host, *arguments], **variables)
    assert plain.returncode == 0, plain.stdout + plain.stderr
    for preloaded in (True, False) if preload else (False,):
        ours: dict[str, str | Path] = {"SHIM": shim}
        if preloaded:
            ours["LD_PRELOAD"] = shim
        seen = run([host, *arguments], **variables, **ours)
        assert (seen.returncode, seen.stdout) == (plain.returncode, plain.stdout), seen.stderr
    notes = {}
    for line in seen.stderr.splitlines():
        point, *pairs = line.split()
        assert all("=" in pair for pair in pairs), seen.stderr
        notes[point] = {
            name: int(value, 0) for name, _, value in (pair.partition("=") for pair in pairs)
        }
    return Outcome(seen.stdout, notes)


VARIANTS = {
    "lazy": ["-Wl,-z,lazy"],
    "now": ["-Wl,-z,now"],
    "no-relro": ["-Wl,-z,norelro", "-Wl,-z,lazy"],
    "no-relro-now": ["-Wl,-z,norelro", "-Wl,-z,now"],
    "no-plt": ["-fno-plt"],
    "sysv-hash": ["-Wl,--hash-style=sysv"],
    "gnu-hash": ["-Wl,--hash-style=gnu"],
    "both-hashes": ["-Wl,--hash-style=both"],
    "one-code-segment": ["-Wl,-z,noseparate-code"],
    "gold": ["-fuse-ld=gold"],
    "lld": ["-fuse-ld=lld"],
    "wide-pages": ["-Wl,-z,max-page-size=65536"],
}
