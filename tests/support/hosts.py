# SPDX-License-Identifier: MIT
"""Runs real GStreamer programs under the shim, in each way in and each home, and reads the profile.

Context: tests.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

from build_native.requirements import pkg_config
from gst_pyro_shim import paths
from gst_pyro_shim.pprof import files
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

TARGETS = Path(__file__).parents[1] / "targets"
SYSTEM_PYTHON = "/usr/bin/python3"
WAYS = ("preload", "plugin", "run")
HOMES = ("embedded", "process")
TIMEOUT_S = 200.0
# What a developer's shell may have set and a test must not see.
_OURS = ("GST_", "LD_PRELOAD", "PYTHON", "XDG_STATE_HOME")


@dataclass(frozen=True)
class Done:
    """How a program ended.

    Attributes:
        status: as subprocess has it; negative for a signal.
        wall_s: until it was gone.
    """

    status: int
    out: str
    err: str
    wall_s: float


@dataclass(frozen=True)
class Report:
    """What `report --json` says of a profile. No test's program has a second told twice."""

    data: dict[str, Any]

    def __post_init__(self) -> None:
        assert self.data["excess_cpu_s"] <= 0 or self.data["notes"], self.data["excess_cpu_s"]

    @property
    def elements(self) -> dict[str, dict[str, Any]]:
        """Rows by path, or by name where there is no path."""
        return {row["path"] or row["name"]: row for row in self.data["elements"]}

    def self_s(self, name: str) -> float:
        """CPU of all rows of that name."""
        return sum(row["self_cpu_s"] for row in self.data["elements"] if row["name"] == name)

    def share(self, name: str) -> float:
        """Of the accounted CPU, 0 to 1."""
        return self.self_s(name) / float(self.data["accounted_cpu_s"])


def near_share(share: float, samples: float) -> Any:
    """Two points either way, and three times the binomial error of so many samples."""
    return pytest.approx(share, abs=0.02 + 3 * math.sqrt(share * (1 - share) / samples))


def needs_gstreamer(*elements: str) -> None:
    """Skips where the distribution's GStreamer lacks what the test runs: names, after options of gst-inspect-1.0."""
    for element in elements:
        done = subprocess.run(
            ["gst-inspect-1.0", "--exists", *element.split()], env=clean_environment(), check=False
        )
        if done.returncode != 0:
            pytest.skip(f"this GStreamer has no {element}")


def clean_environment() -> dict[str, str]:
    """The environment without anything of ours or of GStreamer's, but for the test's private folders."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(_OURS)}
    return kept | {
        key: os.environ[key] for key in ("GST_REGISTRY", "XDG_STATE_HOME") if key in os.environ
    }


def environment(way: str, home: str = "auto", **settings: str) -> dict[str, str]:
    """What a user sets for one of the ways in.

    Args:
        way: "preload", "plugin" or "none".
        home: GST_PYROSCOPE_AGENT.
        settings: GST_PYROSCOPE_* by the settings' names.
    """
    env = clean_environment()
    if way != "none":
        env["GST_PYROSCOPE_AGENT"] = home
        env |= {f"GST_PYROSCOPE_{key.upper()}": value for key, value in settings.items()}
    if way == "preload":
        env["LD_PRELOAD"] = str(paths.shim_path())
    elif way == "plugin":
        env["GST_PLUGIN_PATH"] = str(paths.plugin_dir())
        env["GST_TRACERS"] = "pyroscope(flags=element)"
    return env


def run(
    command: Sequence[str], env: Mapping[str, str], *, stdin: str = "", cwd: Path | None = None
) -> Done:
    """Runs a program to its end."""
    start = time.monotonic()
    done = subprocess.run(
        command,
        env=dict(env),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        cwd=cwd,
    )
    return Done(done.returncode, done.stdout, done.stderr, time.monotonic() - start)


def run_until(
    condition: Callable[[], object], command: Sequence[str], env: Mapping[str, str], folder: Path
) -> Done:
    """Runs a program that goes on while the file is there that GP_TEST_UNTIL names: until `condition()` holds."""
    until = folder / "until"
    until.touch()
    start = time.monotonic()
    with subprocess.Popen(
        command,
        env={**env, "GP_TEST_UNTIL": str(until)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as host:
        try:
            wait_for(lambda: condition() or host.poll() is not None, TIMEOUT_S)
            until.unlink()
            out, err = host.communicate(timeout=TIMEOUT_S)
        except BaseException:
            host.kill()
            raise
    return Done(host.returncode, out, err, time.monotonic() - start)


@contextlib.contextmanager
def piped(
    command: Sequence[str], env: Mapping[str, str]
) -> Iterator[tuple[subprocess.Popen[str], IO[str], IO[str], IO[str]]]:
    """A program with pipes at stdin, stdout and stderr, which are yielded behind it. Waits for its end."""
    with subprocess.Popen(
        command,
        env=dict(env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as host:
        assert host.stdin is not None
        assert host.stdout is not None
        assert host.stderr is not None
        yield host, host.stdin, host.stdout, host.stderr


def has_python(output: Path, *wanted: tuple[str, str]) -> bool:
    """A file of a program that still runs has samples of these Python functions, each under this element."""
    if not output.exists():
        return False
    seen = {
        (dict(one.labels)["element"], frame.name)
        for one in files.read(output).python
        for frame in one.frames
    }
    return seen >= set(wanted)


def profile(
    command: Sequence[str],
    tmp_path: Path,
    *,
    way: str = "preload",
    home: str = "auto",
    **settings: str,
) -> tuple[Done, Report]:
    """Runs a program under the shim, without a server, and reads what it left.

    Raises:
        AssertionError: there is no profile.
    """
    output = tmp_path / f"{way}-{home}.pb.gz"
    output.unlink(missing_ok=True)
    if way == "run":
        words = [sys.executable, "-m", "gst_pyro_shim", "run", "-o", str(output), "--agent", home]
        for key, value in settings.items():
            words += [f"--{key.replace('_', '-')}", value]
        done = run([*words, "--", *command], clean_environment())
    else:
        done = run(command, environment(way, home, output=str(output), **settings))
    wait_for_profile(output, what=f"no profile; stderr: {done.err}")
    return done, report(output)


def wait_for_profile(output: Path, what: str = "no profile") -> None:
    """Until a process's file has its last word: an agent beside its host may be later than the host's end.

    Raises:
        AssertionError: there is no file. One without a last word, as of a program that took its agent with it, is
            waited for and taken as it is.
    """
    wait_for(output.exists, what=what)
    with contextlib.suppress(AssertionError):
        wait_for(lambda: all(one.final for one in files.read(output).stats()))


def report(output: Path) -> Report:
    """The profile of a file."""
    command = [sys.executable, "-m", "gst_pyro_shim", "report", "--json", str(output)]
    done = run(command, clean_environment())
    assert done.status == 0, done.err
    return Report(json.loads(done.out))


@dataclass(frozen=True)
class AgentLog:
    """What the agent tells GStreamer's debug log, and so a test: `variables` is the environment for it."""

    file: Path

    @property
    def variables(self) -> dict[str, str]:
        """Of the host."""
        return {"GST_DEBUG": "pyroscope:5", "GST_DEBUG_FILE": str(self.file)}

    def wait_for_sample(self) -> None:
        """Until the agent is up and has read a first sample.

        Raises:
            AssertionError: it has not, within a minute.
        """
        wait_for(lambda: self.file.exists() and "first sample" in self.file.read_text())


def end_of(program: Path, env: dict[str, str], tmp_path: Path, play_ms: int | None = None) -> Done:
    """Of a host that plays for `play_ms`, or until its agent has a sample; `wall_s` runs from its last own line."""
    log = AgentLog(tmp_path / "agent.log")
    log.file.unlink(missing_ok=True)
    with piped([str(program), "-" if play_ms is None else str(play_ms)], env | log.variables) as (
        host,
        stdin,
        stdout,
        stderr,
    ):
        if play_ms is None:
            log.wait_for_sample()
        stdin.close()
        last = int(stdout.readline())
        status = host.wait(60)
        took = time.monotonic() - last / 1e9
        # An agent beside the host keeps stderr open until it is done.
        return Done(status, "", stderr.read(), took)


def gst_launch(pipeline: str) -> list[str]:
    """A gst-launch of a pipeline that ends by itself."""
    program = shutil.which("gst-launch-1.0")
    assert program is not None
    return [program, "-q", *pipeline.split()]


def compile_host(source: str, tmp_path: Path, *flags: str) -> Path:
    """Compiles a C program of tests/targets against GStreamer."""
    words = pkg_config("--cflags", "--libs", "gstreamer-1.0")
    assert words is not None
    program = tmp_path / Path(source).stem
    subprocess.run(
        ["cc", "-g", "-O1", str(TARGETS / source), "-o", str(program), *words, "-lpthread", *flags],
        check=True,
    )
    return program


def compile_plugin(source: str, folder: Path, *flags: str) -> None:
    """Compiles a GStreamer plugin of tests/targets into a folder."""
    words = pkg_config("--cflags", "--libs", "gstreamer-base-1.0")
    assert words is not None
    product = folder / f"lib{Path(source).stem}.so"
    command = ["cc", "-g", "-O1", "-shared", "-fPIC", '-DPACKAGE="gst-pyro-shim"']
    subprocess.run(
        [*command, str(TARGETS / source), "-o", str(product), *words, *flags], check=True
    )


def core_plugins() -> Path:
    """The folder of GStreamer's own elements, in a folder that holds nothing else."""
    words = ["gst-inspect-1.0", "coreelements"]
    done = subprocess.run(
        words, env=clean_environment(), capture_output=True, text=True, check=True
    )
    (file,) = [line.split()[-1] for line in done.stdout.splitlines() if "Filename" in line]
    folder = Path(os.environ["XDG_STATE_HOME"]).parent / "core-plugins"
    folder.mkdir(exist_ok=True)
    link = folder / Path(file).name
    if not link.is_symlink():
        link.symlink_to(file)
    return folder
