# SPDX-License-Identifier: MIT
"""`make soak MINUTES=…`: a server that lives, with all that comes and goes in one. Nothing grows, nothing is lost.

Sessions, namesakes, threads inside an element and outside, threads made by another way, bins added to a live pipeline
and removed, pads requested from a tee and released, plugins loaded and unloaded, in rounds of the same work.

Context: tests. No bound is a time: CPU is compared within the run, by work of a fixed size that stands beside it.
"""

from __future__ import annotations

import os

import pytest

from benchmarks import churn
from tests.support.hosts import Report, environment, report

MINUTES = float(os.environ.get("GP_SOAK_MINUTES", "0"))
pytestmark = [pytest.mark.soak, pytest.mark.timeout(60 * MINUTES * 2 + 300)]

# A round is a tenth of the sessions and threads.
ROUND = {
    "sessions": 200,
    "elements": 20,
    "namesakes": 4,
    "threads": 2000,
    "alive": 50,
    "outside": 20,
}
GROWTH_KB = 4096
RING_KB = 8192
AGENT_GROWTH_KB = 65536  # its profile fills up to 100,000 stacks (pprof/merge.py), and stays there
COST_RATIO = 1.5
OVERFLOWS = (
    "labels_full",
    "accounts_full",
    "threads_full",
    "links_full",
    "unarmed",
)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> tuple[churn.Churn, Report]:
    folder = tmp_path_factory.mktemp("soak")
    output = folder / "soak.pb.gz"
    env = environment("preload", "process", output=str(output))
    host = churn.run(churn.build(folder), env, minutes=MINUTES, **ROUND)
    for line in host.lines:
        print(line)  # what pytest shows where a test fails
    return host, report(output)


def grown(host: churn.Churn, what: str) -> list[int]:
    """By how much it is above what it was at the end of the second tenth, tenth by tenth."""
    values = [line[what] for line in host.tenths]
    return [value - values[1] for value in values[2:]]


def test_memory_stays(outcome: tuple[churn.Churn, Report]) -> None:
    host, _ = outcome
    assert max(grown(host, "anon_kb")) <= GROWTH_KB, grown(host, "anon_kb")
    # Shared with the agent: the pages of the ring, each of which is written to for the first time once.
    assert max(grown(host, "shmem_kb")) <= RING_KB, grown(host, "shmem_kb")


def test_the_agents_memory_stays(outcome: tuple[churn.Churn, Report]) -> None:
    host, _ = outcome
    assert max(grown(host, "agent_rss_kb")) <= AGENT_GROWTH_KB, grown(host, "agent_rss_kb")


def test_descriptors_and_threads_stay(outcome: tuple[churn.Churn, Report]) -> None:
    host, _ = outcome
    # A thread may be on its way out when they are counted.
    assert max(grown(host, "threads")) <= 4, grown(host, "threads")
    assert max(grown(host, "descriptors")) <= 4, grown(host, "descriptors")


def test_a_round_costs_what_it_did(outcome: tuple[churn.Churn, Report]) -> None:
    host, _ = outcome
    costs = [line["round_cost"] for line in host.tenths]
    assert sum(costs[7:]) <= COST_RATIO * sum(costs[1:4]), costs


def test_nothing_is_lost(outcome: tuple[churn.Churn, Report]) -> None:
    host, profile = outcome
    counters = profile.data["counters"]
    assert not {name: counters[name] for name in OVERFLOWS if counters[name]}
    assert "[too many labels]" not in profile.elements
    assert not any(profile.data["cut_stacks"].values()), profile.data["cut_stacks"]
    process_s = host.line("end")["process_s"]
    assert profile.data["accounted_cpu_s"] == pytest.approx(process_s, rel=0.005)
