# SPDX-License-Identifier: MIT
"""A server whose pipelines and threads come and go: nothing stays of them, and nothing counts elsewhere.

Context: tests. `make soak` runs the same program for as long as it is told to; bench_churn.py says what it costs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from benchmarks import churn
from tests.support.hosts import Report, compile_plugin, environment, report

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

SESSIONS, ELEMENTS = 400, 62
# Each counts what found no place, and went without a name, a row, stacks or a link.
OVERFLOWS = (
    "labels_full",
    "accounts_full",
    "threads_full",
    "links_full",
    "unarmed",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run: what the program said, and the profile."""

    host: churn.Churn
    report: Report


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return churn.build(tmp_path_factory.mktemp("churn"))


def profiled(program: Path, tmp_path: Path, **options: object) -> Outcome:
    output = tmp_path / "churn.pb.gz"
    env = environment("preload", "process", output=str(output))
    return Outcome(churn.run(program, env, **options), report(output))


def assert_nothing_lost(outcome: Outcome) -> None:
    """All has a row of its own, and the rows together are what the process used."""
    counters = outcome.report.data["counters"]
    assert not {name: counters[name] for name in OVERFLOWS if counters[name]}
    assert "[too many labels]" not in outcome.report.elements
    data = outcome.report.data
    assert data["accounted_cpu_s"] == pytest.approx(data["process_cpu_s"], rel=0.005, abs=0.005)
    # Its threads end behind the program's last line, and so do we.
    assert data["process_cpu_s"] >= 0.995 * outcome.host.line("end")["process_s"]


@pytest.fixture(scope="module")
def sessions(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder = tmp_path_factory.mktemp("sessions")
    options = {"sessions": SESSIONS, "elements": ELEMENTS, "mark": SESSIONS // 5, "idle": 1}
    return profiled(program, folder, **options)


def test_sessions_all_have_their_place(sessions: Outcome) -> None:
    assert_nothing_lost(sessions)


def test_an_element_has_one_row_at_most(sessions: Outcome) -> None:
    made = (SESSIONS + 1) * ELEMENTS
    rows = [row for row in sessions.report.data["elements"] if row["factory"]]
    assert 0 < len(rows) <= made
    # What is long gone may be told together, but by its factory.
    assert {row["factory"] for row in rows} == {"fakesrc", "identity", "fakesink"}


def test_sessions_that_are_gone_hold_no_memory(sessions: Outcome) -> None:
    """Label, row and names of an element take 400 bytes and more: those of the elements made since make up 8 MB.

    In use are those of one pipeline, and what the agent has not read. The ring takes a page when it comes there first.
    """
    in_ring_kb = sessions.report.data["samples"] * 512 // 1024
    assert sessions.host.grown_kb(sessions.host.line("mark")) <= 2048 + in_ring_kb


def test_sessions_that_are_gone_hold_no_descriptor(sessions: Outcome) -> None:
    used = [line["descriptors"] for line in sessions.host.tenths]
    assert used[9] <= used[1], used


def test_the_last_session_costs_what_the_second_did(sessions: Outcome) -> None:
    """In work of a fixed size, which knows how busy the machine was. Labels that stayed made it ten times as much."""
    # The least of the last ones is what a burst of other load has not touched.
    costs = [line["process_s"] / line["reference_s"] for line in sessions.host.tenths]
    assert min(costs[7:]) <= 1.5 * max(costs[1:4]), costs


def test_idle_costs_what_it_did_before(sessions: Outcome) -> None:
    """Passes over what is gone made it 24 times as much. Some wake-ups more or less are the agent's."""
    before, after = (sessions.host.line(phase) for phase in ("idle before", "idle after"))
    assert after["process_s"] <= 4 * before["process_s"], (before, after)


def test_threads_that_come_and_go_all_have_their_place(program: Path, tmp_path: Path) -> None:
    outcome = profiled(program, tmp_path, threads=10_000, alive=50, outside=20)
    assert_nothing_lost(outcome)
    assert outcome.report.data["counters"]["threads_seen"] >= 10_000
    used = [line["descriptors"] for line in outcome.host.tenths]
    assert used[9] <= used[1], used


def test_namesakes_nested_before_their_pipeline_have_one_row_each(
    program: Path, tmp_path: Path
) -> None:
    """An element ran as /work, /bin0/work and /b/work before it was in its place."""
    pipelines = 8
    outcome = profiled(program, tmp_path, namesakes=pipelines, elements=3)
    assert_nothing_lost(outcome)
    rows = [row["path"] for row in outcome.report.data["elements"] if row["factory"]]
    assert len(rows) == len(set(rows))
    # #1, #2 … tell namesakes apart.
    paths = {re.sub(r" ?#\d+", "", path) for path in rows}
    own = {f"/pipeline0/{name}0" for name in ("fakesrc", "identity", "fakesink")}
    assert paths == own | {f"/camera/a/b/{name}" for name in ("source", "work", "sink")}
    # Ten tenths of eight pipelines, one after the other.
    assert len(rows) <= len(own) + 10 * pipelines * 3


@pytest.mark.measured
def test_an_encoder_that_starts_last_has_its_name_and_its_time(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_plugin("gstcpuburn.c", tmp_path)
    truth = tmp_path / "truth.txt"
    monkeypatch.setenv("GST_REGISTRY", str(tmp_path / "registry.bin"))
    output = tmp_path / "encoder.pb.gz"
    env = environment("preload", "process", output=str(output)) | {"GST_PLUGIN_PATH": str(tmp_path)}
    encoder = f"cpuburn name=encoder cpu-us=5000 where=threads threads=3 truth={truth}"
    last = f"fakesrc num-buffers=200 ! {encoder} ! fakesink"
    churn.run(program, env, sessions=100, elements=ELEMENTS, last=last)
    true_s = int(truth.read_text().split()[1]) / 1e9
    assert report(output).self_s("encoder") == pytest.approx(true_s, rel=0.01)
