# SPDX-License-Identifier: MIT
"""Pipelines of elements whose CPU time is known, run under the profiler.

The truth is what tests/targets/gstcpuburn.c read from the clocks of its threads; the result is what
`report --json` says.

Context: test.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.hosts import compile_plugin

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run.

    Attributes:
        truth_s: CPU that each burning element used, by its name.
        report: as `report --json` prints it.
    """

    truth_s: dict[str, float]
    report: dict[str, Any]

    def row(self, name: str) -> dict[str, Any]:
        """The report's row of the one element with this name."""
        (row,) = [row for row in self.report["elements"] if row["name"] == name]
        return row

    def text(self) -> str:
        """For the message of a failed test."""
        whole_s = self.report["process_cpu_s"]
        lines = [f"process {whole_s:.3f} s, {self.report['samples']} samples"]
        for row in self.report["elements"]:
            name, cpu_s = row["name"], row["self_cpu_s"]
            line = f"{name:22}{cpu_s:8.4f} s {cpu_s / whole_s:7.2%} {row['samples']:5} samples"
            true_s = self.truth_s.get(name)
            if true_s is not None:
                line += f", true {true_s:.4f} s: {(cpu_s - true_s) / whole_s:+.2%}"
            lines.append(line)
        return "\n".join(lines)

    def errors(self) -> dict[str, float]:
        """What the report says of each burning element beyond the truth, as a share of the whole process."""
        whole_s = self.report["process_cpu_s"]
        return {
            name: (self.row(name)["self_cpu_s"] - true_s) / whole_s
            for name, true_s in self.truth_s.items()
        }


class Furnace:
    """The plugin, compiled, and a registry that knows it."""

    def __init__(self, folder: Path) -> None:
        """Compiles into `folder`.

        Raises:
            subprocess.CalledProcessError: the compiler failed; its output stands on stderr.
        """
        self._folder = folder
        self._runs = 0
        plugins = folder / "plugins"
        plugins.mkdir()
        compile_plugin("gstcpuburn.c", plugins)
        unwanted = ("LD_PRELOAD", "GST_TRACERS", "GST_DEBUG")
        self._environ = {
            name: value
            for name, value in os.environ.items()
            if name not in unwanted and not name.startswith("GST_PYROSCOPE_")
        }
        self._environ |= {
            "GST_PLUGIN_PATH": str(plugins),
            "GST_REGISTRY": str(folder / "registry.bin"),
        }
        subprocess.run(["gst-inspect-1.0", "cpuburn"], env=self._environ, stdout=-3, check=True)

    def run(self, pipeline: str, *, rate: int, home: str = "auto") -> Outcome:
        """Runs gst-launch under the profiler.

        Args:
            pipeline: as gst-launch takes it; TRUTH stands for the file of the truth.
            rate: samples a second of CPU time.
            home: where the agent lives.
        """
        self._runs += 1
        truth = self._folder / f"truth-{self._runs}.txt"
        command = ["gst-launch-1.0", "-q", *pipeline.replace("TRUTH", str(truth)).split()]
        report = self.run_command(command, rate=rate, home=home)
        truth_s: dict[str, float] = {}
        for line in truth.read_text().splitlines() if truth.exists() else ():
            name, burned_ns = line.split("\t")
            truth_s[name] = truth_s.get(name, 0) + int(burned_ns) / 1e9
        return Outcome(truth_s, report)

    def run_command(self, command: Sequence[str], *, rate: int, home: str) -> dict[str, Any]:
        """Runs any command under the profiler; returns the report."""
        profile = self._folder / f"run-{self._runs}.pb.gz"
        program = [sys.executable, "-m", "gst_pyro_shim"]
        flags = [f"--sample-rate={rate}", f"--agent={home}", "-o", str(profile)]
        run = subprocess.run(
            [*program, "run", *flags, "--", *command],
            cwd=ROOT,
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert run.returncode == 0, run.stdout + run.stderr
        text = subprocess.run(
            [*program, "report", "--json", str(profile)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        return json.loads(text)
