# SPDX-License-Identifier: MIT
"""Which Python function uses the CPU, in which element: compared with programs that measure that themselves.

Context: tests.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

import pytest

from gst_pyro_shim.pprof import files
from gst_pyro_shim.pprof.model import NOT_SAMPLED
from tests.python.test_host import fits_this_python
from tests.support.hosts import (
    SYSTEM_PYTHON,
    TARGETS,
    WAYS,
    environment,
    gst_launch,
    has_python,
    near_share,
    needs_gstreamer,
    profile,
    report,
    run_until,
    wait_for_profile,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.hosts import Report

pytestmark = [
    pytest.mark.integration,
    pytest.mark.measured,
    pytest.mark.slow,
    pytest.mark.skipif(not fits_this_python(), reason="pyroscope-io is of another Python"),
]

POINTS = 0.02
RATE_HZ = 1000
PYTHON_RATE_HZ = RATE_HZ / 4
WORK = str(TARGETS / "python_work.py")


def functions(report: Report, path: str) -> dict[str, float]:
    """CPU of an element's Python functions, in s."""
    found: dict[str, float] = {}
    for one in report.elements[path]["python"]:
        found[one["function"]] = found.get(one["function"], 0.0) + one["cpu_s"]
    return found


def near(share: float, of_s: float, rate_hz: float = PYTHON_RATE_HZ) -> Any:
    """A tolerance: as exact as samples of so much CPU time can be."""
    return near_share(share, rate_hz * of_s)


def once(report: Report) -> None:
    """No time is counted twice: Python's is part of the element's, and all elements' is the process's."""
    rows = report.data["elements"]
    assert sum(row["self_cpu_s"] for row in rows) == pytest.approx(report.data["accounted_cpu_s"])
    for row in rows:
        assert row["python_cpu_s"] <= row["self_cpu_s"] * 1.001
        if row["python"]:
            total = sum(one["cpu_s"] for one in row["python"])
            assert total == pytest.approx(row["python_cpu_s"])


def work(tmp_path: Path, *words: str) -> tuple[dict[str, float], Report]:
    needs_gstreamer("appsink")
    # Short: on a busy machine the last push may be lost.
    settings = {"sample_rate": str(RATE_HZ), "upload_interval": "1"}
    done, report = profile([SYSTEM_PYTHON, WORK, *words], tmp_path, **settings)
    assert done.status == 0, done.err
    once(report)
    used: Any = ast.literal_eval(done.out)
    return used, report


def test_pipelines_probes_threads_and_a_main_loop(tmp_path: Path) -> None:
    used, report = work(tmp_path, "5")
    one, two = functions(report, "/one/one-sink"), functions(report, "/two/two-sink")
    total_s = report.data["accounted_cpu_s"]
    names = ("three_quarters", "one_quarter")
    seen = {name: one[name] + two[name] for name in names}
    seen_s, used_s = sum(seen.values()), sum(used[name] for name in names)
    for name in names:  # as shares of the time that was sampled
        assert seen[name] / seen_s == near(used[name] / used_s, seen_s)
    for path, name in (("/one/one-id", "sink_pad_work"), ("/two/two-id", "source_pad_work")):
        assert max(functions(report, path).items(), key=lambda one: one[1])[0] == name
        seen_s = report.elements[path]["python_cpu_s"]
        assert seen_s / total_s == near(used[name] / total_s, total_s, RATE_HZ)
    assert "timeout_work" in functions(report, "[main thread]")
    assert "thread_work" in functions(report, "[other threads]")
    # A sample taken while its thread leaves an element may get the tags of the next one: a hundredth.
    owner = {
        "timeout_work": ("[main thread]",),
        "thread_work": ("[other threads]",),
        "sink_pad_work": ("/one/one-id",),
        "source_pad_work": ("/two/two-id",),
        "three_quarters": ("/one/one-sink", "/two/two-sink"),
    }
    for name, paths in owner.items():
        strays = [
            functions(report, path).get(name, 0.0) for path in report.elements if path not in paths
        ]
        assert sum(strays) / total_s < POINTS / 2


def test_numpy_in_an_appsink(tmp_path: Path) -> None:
    used, report = work(tmp_path, "5", "numpy")
    seen = functions(report, "/one/one-sink")
    # numpy.sort is a Python function itself. Both release the interpreter's lock.
    sort_s = sum(s for name, s in seen.items() if "sort" in name)
    seen_s = sort_s + seen["brighten"]
    share = used["sort_picture"] / (used["sort_picture"] + used["brighten"])
    assert sort_s / seen_s == near(share, seen_s)


def sampled(target: str, tmp_path: Path, *wanted: tuple[str, str]) -> tuple[str, Path]:
    """Runs a program of tests/targets until these functions are sampled; returns what it printed, and its profile."""
    output = tmp_path / "x.pb.gz"
    output.unlink(missing_ok=True)
    command = [SYSTEM_PYTHON, str(TARGETS / target)]
    settings = {"sample_rate": str(RATE_HZ), "upload_interval": "1", "output": str(output)}
    env = environment("preload", **settings)
    done = run_until(lambda: has_python(output, *wanted), command, env, tmp_path)
    assert done.status == 0, done.err
    wait_for_profile(output)
    return done.out, output


def test_threads_older_than_pyroscope_io(tmp_path: Path) -> None:
    needs_gstreamer("fakesink")
    out, output = sampled(
        "early_threads.py", tmp_path, ("[other threads]", "analyse"), ("[main thread]", "main_work")
    )
    used: Any = ast.literal_eval(out)
    others, main = ("element", "[other threads]"), ("element", "[main thread]")
    seen = {
        (sample.frames[0].name, label)
        for sample in files.read(output).python
        for label in sample.labels
    }
    assert {("analyse", others), ("main_work", main)} <= seen
    assert ("analyse", main) not in seen
    found = report(output)
    once(found)
    total_s = found.data["accounted_cpu_s"]
    for name, row in (("analyse", "[other threads]"), ("main_work", "[main thread]")):
        seen_s = found.elements[row]["python_cpu_s"]
        assert seen_s / total_s == near(used[name] / total_s, total_s, RATE_HZ)


def test_short_callbacks_let_pyroscope_io_start(tmp_path: Path) -> None:
    needs_gstreamer("fakesink")
    for _ in range(3):  # one alone may start it by chance
        out, output = sampled("short_callbacks.py", tmp_path, ("sink", "on_handoff"))
        assert out == "sampled\n"
        assert functions(report(output), "/pipeline0/sink")["on_handoff"] > 0


@pytest.mark.parametrize("way", WAYS)
def test_an_element_in_python(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_gstreamer("videotestsrc")
    folder = tmp_path / "plugins" / "python"
    folder.mkdir(parents=True)
    (folder / "python_element.py").write_text((TARGETS / "python_element.py").read_text())
    monkeypatch.setenv("GP_TEST_SAMPLED", "2.5")
    pipeline = gst_launch("videotestsrc ! pyburner ! fakesink")
    command = ["/usr/bin/env", f"GST_PLUGIN_PATH={folder.parent}", *pipeline]
    if way == "plugin":
        from gst_pyro_shim import paths

        command[1] = f"GST_PLUGIN_PATH={paths.plugin_dir()}:{folder.parent}"
    if way == "run":
        monkeypatch.setenv("GST_PLUGIN_PATH", str(folder.parent))
    done, report = profile(command, tmp_path, way=way, upload_interval="1")
    assert done.status == 0, done.err
    once(report)
    row = next(row for row in report.data["elements"] if row["factory"] == "pyburner")
    total_s, burnt_s = report.data["accounted_cpu_s"], float(done.out)
    # The time that PyGObject adds to each buffer is the element's as well.
    assert -POINTS < (row["self_cpu_s"] - burnt_s) / total_s < 3 * POINTS
    assert row["python_cpu_s"] > 0.9 * row["self_cpu_s"]
    told = {one["function"]: one["cpu_s"] for one in row["python"]}
    # Absent where pyroscope-io had started before the first buffer.
    sampled_s = row["python_cpu_s"] - told.get(NOT_SAMPLED.name, 0.0)
    assert told["Burner.do_transform_ip"] > 0.9 * sampled_s > 0
