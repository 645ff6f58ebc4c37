# SPDX-License-Identifier: MIT
"""Python's time has the same value on the server, in the file and in the table: that of the accounts, at any load.

Context: tests.
"""

from __future__ import annotations

import ast
import contextlib
import os
import shutil
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from gst_pyro_shim.pprof import files
from gst_pyro_shim.pprof.model import NOT_SAMPLED
from tests.python.test_host import fits_this_python
from tests.support.hosts import (
    SYSTEM_PYTHON,
    TARGETS,
    clean_environment,
    environment,
    has_python,
    near_share,
    needs_gstreamer,
    report,
    run,
    run_until,
    wait_for_profile,
)
from tests.support.pyroscope_server import PyroscopeServer
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.hosts import Report

pytestmark = [
    pytest.mark.integration,
    pytest.mark.measured,
    pytest.mark.skipif(not fits_this_python(), reason="pyroscope-io is of another Python"),
]

PYTHON_TYPE = "python_cpu:cpu:nanoseconds:cpu:nanoseconds"
NATIVE_TYPE = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"
MEMORY_TYPE = "memory:alloc_space:bytes:space:bytes"
RATE_HZ = 1000
BEFORE_AND_AFTER = str(TARGETS / "before_and_after.py")


@contextlib.contextmanager
def busy_machine() -> Iterator[None]:
    """Two busy loops for each processor."""
    command = [sys.executable, "-c", "while True: pass"]
    loops = [subprocess.Popen(command) for _ in range(2 * len(os.sched_getaffinity(0)))]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def run_host(
    server: PyroscopeServer, output: Path, *command: str, until: str = "", **settings: str
) -> tuple[Any, Report]:
    """Runs a program of tests/targets; returns the CPU time that it measured itself, and its profile.

    Args:
        server: takes its profiles.
        output: file of its profile.
        command: the program.
        until: a Python function of `sink` that has to be in the file before the program may end.
        settings: GST_PYROSCOPE_* by the settings' names.
    """
    needs_gstreamer("appsink")
    given = {"sample_rate": str(RATE_HZ), "upload_interval": "1", **settings}
    env = environment("preload", server_url=server.url, output=str(output), **given)
    done = (
        run_until(lambda: has_python(output, ("sink", until)), command, env, output.parent)
        if until
        else run(command, env)
    )
    assert (done.status, done.err) == (0, "")
    wait_for_profile(output)
    return ast.literal_eval(done.out), report(output)


def by_element(pairs: Any) -> dict[str, int]:
    """ns by element, without elements that have none."""
    sums: Counter[str] = Counter()
    for name, ns in pairs:
        sums[name] += ns
    return {name: ns for name, ns in sums.items() if ns}


def one_value(server: PyroscopeServer, output: Path, found: Report) -> dict[str, float]:
    """Python's CPU time by element, in s; asserts that server, file and table agree."""
    pprof = files.read(output)
    accounts = by_element(
        (dict(one.labels)["element"], one.cpu_ns) for one in pprof.samples if one.python
    )
    in_file = by_element((dict(one.labels)["element"], one.cpu_ns) for one in pprof.python)
    assert in_file == accounts
    # The server may get the last profile a moment after the host's end.
    cpu_ns = sum(one.cpu_ns for one in pprof.samples)
    wait_for(lambda: server.total(NATIVE_TYPE) == cpu_ns, 10.0)
    stored = server.stored(PYTHON_TYPE)
    assert by_element((one.label("element"), one.total) for one in stored) == accounts
    rows = [row for row in found.data["elements"] if row["python_cpu_s"]]
    table = by_element((row["name"], round(row["python_cpu_s"] * 1e9)) for row in rows)
    assert table == accounts
    functions = by_element((row["name"], one["cpu_s"]) for row in rows for one in row["python"])
    assert functions == pytest.approx({name: ns / 1e9 for name, ns in accounts.items()})
    told = found.data["python"]
    assert told["cpu_s"] == pytest.approx(sum(accounts.values()) / 1e9)
    rest_s = sum(one.cpu_ns for one in pprof.python if one.frames[0] == NOT_SAMPLED) / 1e9
    assert told["not_sampled_cpu_s"] == pytest.approx(rest_s)
    assert told["samples"] == sum(one.samples for one in pprof.python)
    return {name: ns / 1e9 for name, ns in accounts.items()}


@pytest.mark.slow
@pytest.mark.parametrize("load", [contextlib.nullcontext, busy_machine])
def test_each_element_has_its_python_time(load: Any, tmp_path: Path) -> None:
    output = tmp_path / "x.pb.gz"
    work = str(TARGETS / "python_work.py")
    with load(), PyroscopeServer() as server:
        used, found = run_host(server, output, SYSTEM_PYTHON, work, "3")
        seen = one_value(server, output, found)
    total_s = found.data["accounted_cpu_s"]
    sinks_s = used["three_quarters"] + used["one_quarter"]
    for elements, used_s in (
        (("one-id",), used["sink_pad_work"]),
        (("two-id",), used["source_pad_work"]),
        (("one-sink", "two-sink"), sinks_s),
        (("[other threads]",), used["thread_work"]),
    ):
        seen_s = sum(seen[name] for name in elements)
        assert seen_s / total_s == near_share(used_s / total_s, RATE_HZ * total_s), elements


def test_time_before_pyroscope_io_is_not_counted_for_later_functions(tmp_path: Path) -> None:
    output = tmp_path / "x.pb.gz"
    with PyroscopeServer() as server:
        used, found = run_host(server, output, SYSTEM_PYTHON, BEFORE_AND_AFTER, "0.5", until="late")
        one_value(server, output, found)
    sink = found.elements["/pipeline0/sink"]
    told = {one["function"]: one["cpu_s"] for one in sink["python"]}
    assert "early" not in told
    python_s, rest_s = sink["python_cpu_s"], told[NOT_SAMPLED.name]
    # Sampling begins when the agent next looks: a part of late() may run before that.
    known_s = python_s - rest_s
    share = min(1.0, used["late"] / known_s)
    assert 0 < told["late"] / known_s < share + near_share(share, RATE_HZ / 4 * known_s).abs
    share = used["early"] / python_s
    assert rest_s / python_s > share - near_share(share, RATE_HZ * python_s).abs
    text = run(
        [sys.executable, "-m", "gst_pyro_shim", "report", str(output)], clean_environment()
    ).out
    rest_s = found.data["python"]["not_sampled_cpu_s"]
    known_s = found.data["python"]["cpu_s"] - rest_s
    number = found.data["python"]["samples"]
    assert f"{known_s:.3f} s by {number} samples at 250 Hz, {rest_s:.3f} s not sampled" in text


def test_on_one_processor_unsampled_time_is_reported(tmp_path: Path) -> None:
    """The agent has to start on the program's processor: pyroscope-io may start late, or not at all."""
    taskset = shutil.which("taskset")
    if taskset is None:
        pytest.skip("no taskset here")
    output = tmp_path / "x.pb.gz"
    pinned = [taskset, "-c", str(min(os.sched_getaffinity(0)))]
    work = [SYSTEM_PYTHON, str(TARGETS / "python_work.py"), "0.3"]
    with PyroscopeServer() as server:
        _, found = run_host(server, output, *pinned, *work)
        one_value(server, output, found)
    command = [sys.executable, "-m", "gst_pyro_shim", "report", str(output)]
    text = run(command, clean_environment()).out
    told = found.data["python"]
    assert told["cpu_s"] > 0.1
    assert ("No Python function was sampled in" in text) == (told["samples"] == 0)
    assert f"{told['not_sampled_cpu_s']:.3f} s not sampled" in text


def test_allocations_of_the_last_interval_are_delivered_or_counted(tmp_path: Path) -> None:
    output = tmp_path / "x.pb.gz"
    settings = {"upload_interval": "600", "python_memory": "true"}
    command = [SYSTEM_PYTHON, BEFORE_AND_AFTER, "0.02"]
    with PyroscopeServer() as server:
        _, found = run_host(server, output, *command, **settings)
        one_value(server, output, found)
        has_come = server.total(MEMORY_TYPE) > 0
    counters = found.data["counters"]
    # A machine may be too busy for the last push; the counters say so then.
    assert has_come != bool(counters["python_memory_none"])
    assert has_come or counters["python_end_lost"]


def test_of_a_program_that_ends_at_once_missing_samples_are_reported(tmp_path: Path) -> None:
    output = tmp_path / "x.pb.gz"
    env = environment("preload", output=str(output), python_memory="true")
    done = run([SYSTEM_PYTHON, str(TARGETS / "python_host.py"), "_exit"], env)
    assert done.status == 8
    wait_for_profile(output)
    found = report(output)
    assert found.data["counters"]["python_end_lost"] == 1
    assert found.data["counters"]["python_memory_none"] == 1
    told = found.data["python"]
    assert told["samples"] == 0
    assert told["not_sampled_cpu_s"] == told["cpu_s"] > 0
