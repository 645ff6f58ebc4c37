# SPDX-License-Identifier: MIT
"""Runs programs by turns, and says what the pairs have in common.

Machines drift: two programs are compared by runs that stand side by side, in changing order, and what counts is
the median over the pairs.

Context: benchmark.
"""

from __future__ import annotations

import os
import shlex
import statistics
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from build_native.requirements import pkg_config
from gst_pyro_shim import paths

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

HERE = Path(__file__).resolve().parent
# One for all benchmarks, until this process ends: compiled plugins, registries, what is measured writes here.
_SCRATCH = tempfile.TemporaryDirectory(prefix="gst-pyro-bench-")
SCRATCH = Path(_SCRATCH.name)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; numbers as text.

    Attributes:
        what: was measured.
        base: the value without us, or of what we are compared with.
        ours: the value with us.
        result: the difference or ratio: median over the pairs, lower and upper quartile behind it.
        goal: "" where there is none.
        met: whether the median meets the goal; None where there is none.
    """

    what: str
    base: str
    ours: str
    result: str
    goal: str = ""
    met: bool | None = None


@dataclass(frozen=True, slots=True)
class Pairs:
    """Values of several programs, one of each per round."""

    values: dict[str, list[float]]

    def median(self, name: str) -> float:
        """Of one program over the rounds."""
        return statistics.median(self.values[name])

    def differences(self, base: str, ours: str) -> list[float]:
        """Round by round."""
        return [b - a for a, b in zip(self.values[base], self.values[ours], strict=True)]

    def ratios(self, base: str, ours: str) -> list[float]:
        """Round by round."""
        return [b / a for a, b in zip(self.values[base], self.values[ours], strict=True)]


def by_turns(measures: Mapping[str, Callable[[], float]], rounds: int) -> Pairs:
    """Calls each once a round, every other round in reverse order; one round before those is thrown away."""
    values: dict[str, list[float]] = {name: [] for name in measures}
    for number in range(rounds + 1):
        names = list(measures) if number % 2 else list(measures)[::-1]
        for name in names:
            value = measures[name]()
            if number:
                values[name].append(value)
        progress(f"round {number} of {rounds}")
    return Pairs(values)


def spread(values: Sequence[float], form: str) -> str:
    """Median, and the quartiles."""
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:{form}} [{low:{form}} … {high:{form}}]"


def progress(text: str) -> None:
    """One line that the next one replaces, where somebody watches."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()


def environment(**added: str) -> dict[str, str]:
    """Ours, without what would profile, log or find other plugins; a registry for each set of plugins."""
    unwanted = ("GST_", "LD_PRELOAD", "PYTHON")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    plugins = added.get("GST_PLUGIN_PATH", "") + added.get("LD_PRELOAD", "")
    environ["GST_REGISTRY"] = str(SCRATCH / f"registry-{abs(hash(plugins))}.bin")
    return environ | added


def profiled(**settings: str) -> dict[str, str]:
    """The environment that puts us into a program by preload; profiles go into a file."""
    paths.write_record()
    return environment(
        LD_PRELOAD=str(paths.shim_path()),
        GST_PYROSCOPE_OUTPUT=str(SCRATCH / "%p.pb.gz"),
        **{f"GST_PYROSCOPE_{name.upper()}": value for name, value in settings.items()},
    )


def cpu_s(command: Sequence[str], environ: Mapping[str, str]) -> float:
    """User + system CPU of a program and of the children that it waited for.

    Raises:
        RuntimeError: it failed.
    """
    with (SCRATCH / "output.txt").open("w+b") as output:
        child = subprocess.Popen(
            command, env=dict(environ), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            output.seek(0)
            text = output.read().decode(errors="replace")
            raise RuntimeError(f"{shlex.join(command)} ended with {child.returncode}\n{text}")
    return usage.ru_utime + usage.ru_stime


def companions(mark: Mapping[str, str], but: int) -> list[psutil.Process]:
    """Processes other than `but` that have `mark` in their environment: an agent is nobody's child."""
    found = []
    for one in psutil.process_iter():
        with suppress(psutil.Error):
            if one.pid != but and mark.items() <= one.environ().items():
                found.append(one)
    return found


def compile_plugin(source: Path, folder: Path) -> None:
    """Compiles a GStreamer plugin that consists of one file."""
    folder.mkdir(exist_ok=True)
    flags = pkg_config("--cflags", "--libs", "gstreamer-base-1.0")
    assert flags is not None
    name = source.stem.replace("_", "").removeprefix("gst")
    product = ["-shared", "-fPIC", "-O2", "-o", str(folder / f"libgst{name}.so")]
    define = '-DPACKAGE="gst-pyro-shim"'
    subprocess.run([os.environ.get("CC", "cc"), *product, define, str(source), *flags], check=True)
