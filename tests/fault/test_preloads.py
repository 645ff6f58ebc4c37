# SPDX-License-Identifier: MIT
"""Hosts with a preload of others that stands before libc: libfaketime tells other times, torsocks refuses calls.

Context: tests.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.hosts import (
    HOMES,
    SYSTEM_PYTHON,
    TARGETS,
    compile_host,
    environment,
    gst_launch,
    needs_gstreamer,
    report,
    run,
)
from tests.support.pprof_reader import inflate, parse_pprof
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.fault]

# Of a time each: it stands, it is another, it goes back, it runs at another rate.
TIMES = {
    "stands": "2020-01-01 00:00:00",
    "an hour ahead": "+1h",
    "a second behind": "-1s",
    "ten times as fast": "+0 x10",
    "a tenth as fast": "+0 x0.1",
}
HOST = gst_launch("videotestsrc num-buffers=300 ! video/x-raw,width=1280,height=720 ! fakesink")


@pytest.fixture(scope="module")
def faketime() -> str:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        pytest.skip("libfaketime is not installed: apt-get install libfaketime")
    return str(found[0])


@pytest.mark.parametrize("home", HOMES)
@pytest.mark.parametrize("told", TIMES)
def test_a_host_that_is_told_another_time_has_its_true_ones(
    told: str, home: str, faketime: str, tmp_path: Path
) -> None:
    """Before, a clock that stood kept it in its start for ever; the others gave hours for seconds, or no profile."""
    output = tmp_path / "x.pb.gz"
    env = environment("preload", home, output=str(output))
    env["LD_PRELOAD"] = f"{faketime}:{env['LD_PRELOAD']}"
    env["FAKETIME"] = TIMES[told]
    begin_ns = time.time_ns()
    done = run(HOST, env)
    assert (done.status, done.out, done.err) == (0, "", "")
    wait_for(output.exists)
    seen = report(output)
    assert 0 < seen.data["duration_s"] <= done.wall_s
    assert 0 < seen.data["accounted_cpu_s"] <= seen.data["process_cpu_s"] * 1.01
    assert seen.data["samples"] > 0
    profile = parse_pprof(inflate(output.read_bytes()))
    assert begin_ns <= profile.time_ns <= profile.time_ns + profile.duration_ns <= time.time_ns()


@pytest.mark.parametrize("home", HOMES)
def test_what_stands_before_libc_is_not_asked(home: str, tmp_path: Path) -> None:
    """As torsocks, whose syscall() refuses what it does not know."""
    output = tmp_path / "x.pb.gz"
    in_front = compile_host("in_front.c", tmp_path, "-shared", "-fPIC", "-ldl")
    env = environment("preload", home, output=str(output))
    env["LD_PRELOAD"] = f"{in_front}:{env['LD_PRELOAD']}"
    done = run(HOST, env)
    assert (done.status, done.out, done.err) == (0, "", "")
    wait_for(output.exists)
    seen = report(output)
    assert seen.data["samples"] > 0
    assert 0 < seen.data["accounted_cpu_s"] <= seen.data["process_cpu_s"] * 1.01


@pytest.mark.parametrize("told", ["stands", "a second behind"])
def test_a_python_host_that_is_told_another_time_ends_as_ever(
    told: str, faketime: str, tmp_path: Path
) -> None:
    needs_gstreamer("x264enc")
    output = tmp_path / "x.pb.gz"
    env = environment("preload", output=str(output))
    env["LD_PRELOAD"] = f"{faketime}:{env['LD_PRELOAD']}"
    env["FAKETIME"] = TIMES[told]
    done = run([SYSTEM_PYTHON, str(TARGETS / "appsink_app.py")], env)
    assert (done.status, done.out) == (0, "eos 60\n"), done.err
    wait_for(output.exists)
    seen = report(output)
    assert 0 < seen.data["duration_s"] <= done.wall_s
    assert 0 < seen.data["accounted_cpu_s"] <= seen.data["process_cpu_s"] * 1.01
