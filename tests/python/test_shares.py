# SPDX-License-Identifier: MIT
"""Which Python function burns the CPU, in which element: against programs that measure it themselves.

Context: tests.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

import pytest

from gst_pyro_shim import files
from tests.hosts import (
    SYSTEM_PYTHON,
    TARGETS,
    WAYS,
    environment,
    gst_launch,
    near_share,
    needs_gstreamer,
    profile,
    report,
    run,
)
from tests.python.test_host import fits_this_python
from tests.waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from tests.hosts import Report

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


def near(report: Report, share: float) -> Any:
    """As near as so many samples of Python can tell."""
    return near_share(
        share, PYTHON_RATE_HZ * sum(row["python_cpu_s"] for row in report.data["elements"])
    )


def once(report: Report) -> None:
    """No second is told twice: Python's are among the element's, and those are the process's."""
    rows = report.data["elements"]
    assert sum(row["self_cpu_s"] for row in rows) == pytest.approx(report.data["accounted_cpu_s"])
    for row in rows:
        assert row["python_cpu_s"] <= row["self_cpu_s"] * 1.001
        if row["python"]:
            total = sum(one["cpu_s"] for one in row["python"])
            assert total == pytest.approx(row["python_cpu_s"])


def work(tmp_path: Path, *words: str) -> tuple[dict[str, float], Report]:
    needs_gstreamer("appsink")
    done, report = profile([SYSTEM_PYTHON, WORK, *words], tmp_path, sample_rate=str(RATE_HZ))
    assert done.status == 0, done.err
    once(report)
    used: Any = ast.literal_eval(done.out)
    return used, report


def test_pipelines_probes_threads_and_a_main_loop(tmp_path: Path) -> None:
    used, report = work(tmp_path, "5")
    one, two = functions(report, "/one/one-sink"), functions(report, "/two/two-sink")
    total_s = report.data["accounted_cpu_s"]
    for name in ("three_quarters", "one_quarter"):
        seen_s = one[name] + two[name]
        assert seen_s / total_s == near(report, used[name] / total_s)
    for path, name in (("/one/one-id", "sink_pad_work"), ("/two/two-id", "source_pad_work")):
        assert max(functions(report, path).items(), key=lambda one: one[1])[0] == name
        seen_s = report.elements[path]["python_cpu_s"]
        assert seen_s / total_s == near(report, used[name] / total_s)
    assert "timeout_work" in functions(report, "[main thread]")
    assert "thread_work" in functions(report, "[other threads]")
    # A sample taken while its thread moves on may get the tags of what comes next: a hundredth.
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
    # numpy.sort is a Python function itself. Both give the interpreter's lock away.
    sort_s = sum(s for name, s in seen.items() if "sort" in name)
    total_s = report.data["accounted_cpu_s"]
    assert sort_s / total_s == near(report, used["sort_picture"] / total_s)
    assert seen["brighten"] / total_s == near(report, used["brighten"] / total_s)


def sampled(target: str, tmp_path: Path) -> Path:
    """The profile of a program of tests/targets."""
    output = tmp_path / "x.pb.gz"
    output.unlink(missing_ok=True)
    command = [SYSTEM_PYTHON, str(TARGETS / target)]
    done = run(command, environment("preload", output=str(output), sample_rate=str(RATE_HZ)))
    assert done.status == 0, done.err
    wait_for(output.exists)
    return output


def test_threads_that_were_there_before_pyroscope_io(tmp_path: Path) -> None:
    needs_gstreamer("fakesink")
    output = sampled("early_threads.py", tmp_path)
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
    assert functions(found, "[other threads]")["analyse"] == pytest.approx(1.0, abs=0.1)
    assert functions(found, "[main thread]")["main_work"] == pytest.approx(0.5, abs=0.1)


def test_short_callbacks_let_pyroscope_io_start(tmp_path: Path) -> None:
    needs_gstreamer("fakesink")
    for _ in range(3):  # one may be lucky
        output = sampled("short_callbacks.py", tmp_path)
        sink = report(output).elements["/pipeline0/sink"]
        seen_ns = sum(sample.cpu_ns for sample in files.read(output).python)
        # It comes up within the first 0.3 s of 2.
        assert seen_ns / 1e9 > sink["python_cpu_s"] / 2


@pytest.mark.parametrize("way", WAYS)
def test_an_element_in_python(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_gstreamer("videotestsrc")
    folder = tmp_path / "plugins" / "python"
    folder.mkdir(parents=True)
    (folder / "python_element.py").write_text((TARGETS / "python_element.py").read_text())
    pipeline = gst_launch("videotestsrc num-buffers=300 ! pyburner ! fakesink")
    command = ["/usr/bin/env", f"GST_PLUGIN_PATH={folder.parent}", *pipeline]
    if way == "plugin":
        from gst_pyro_shim import paths

        command[1] = f"GST_PLUGIN_PATH={paths.plugin_dir()}:{folder.parent}"
    if way == "run":
        monkeypatch.setenv("GST_PLUGIN_PATH", str(folder.parent))
    done, report = profile(command, tmp_path, way=way)
    assert done.status == 0, done.err
    once(report)
    row = next(row for row in report.data["elements"] if row["factory"] == "pyburner")
    # 300 buffers, 5 ms each.
    total_s = report.data["accounted_cpu_s"]
    # What PyGObject adds to a buffer is the element's as well.
    assert 1.5 / total_s - POINTS < row["self_cpu_s"] / total_s < 1.5 / total_s + 3 * POINTS
    assert row["python"][0]["function"] == "Burner.do_transform_ip"
    assert row["python"][0]["cpu_s"] > 0.9 * row["python_cpu_s"] > 0.8 * row["self_cpu_s"]
