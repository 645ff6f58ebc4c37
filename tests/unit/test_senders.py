# SPDX-License-Identifier: MIT
"""senders.py: how long the controller waits for the last push, and for whom.

Context: test.
"""

import os
import subprocess
import sys
import time

import pytest

from gst_pyro_shim import senders
from gst_pyro_shim.collector import Collector
from tests import profiles
from tests.waiting import wait_for


@pytest.fixture
def collector():
    with Collector() as one:
        yield one


@pytest.fixture
def start(collector):
    """Starts a process that has the collector's token; `agent` makes it look like one of ours. It lives on."""
    started = []

    def start(*, agent=False):
        script = "from gst_pyro_shim import agent" if agent else "some other program"
        command = [sys.executable, "-c", f"import time; time.sleep(600) # {script}"]
        environ = os.environ | {"GST_PYROSCOPE_COLLECTOR_TOKEN": collector.token}
        process = subprocess.Popen(command, env=environ)
        started.append(process)
        environment = senders.Path(f"/proc/{process.pid}/environ")
        # Between fork and exec it still is us.
        wait_for(lambda: collector.token.encode() in environment.read_bytes())
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def looks(monkeypatch):
    """Each look for processes that is taken; `looks.end` is ended at the third."""
    alive = senders._alive

    class Looks(list):
        end = None

    taken = Looks()

    def look(token):
        taken.append(token)
        if taken.end is not None and len(taken) == 3:
            taken.end.kill()
            taken.end.wait()
        return alive(token)

    monkeypatch.setattr(senders, "_alive", look)
    return taken


def test_nobody_is_not_waited_for(collector, looks):
    assert senders.wait(collector, 60.0)
    assert len(looks) == 1


def test_a_host_that_is_about_to_report_is_waited_for(collector, start, looks):
    looks.end = start()
    assert senders.wait(collector, 60.0)
    assert len(looks) == 3


def test_a_program_that_lives_on_after_the_last_word_of_all_is_not_waited_for(
    collector, start, looks
):
    collector.merge.add(profiles.demo())
    start()
    assert senders.wait(collector, 60.0)
    assert len(looks) == 1


def test_an_agent_is_waited_for_though_others_have_said_their_last_word(collector, start, looks):
    collector.merge.add(profiles.demo())
    looks.end = start(agent=True)
    assert senders.wait(collector, 60.0)
    assert len(looks) == 3


def test_a_program_that_lives_on_is_waited_for_in_bounds(collector, start):
    collector.merge.add(profiles.demo(final=False))
    process = start()
    begin = time.monotonic()
    assert not senders.wait(collector, 0.3)
    assert time.monotonic() - begin >= 0.3
    assert process.poll() is None


def test_agents_alone_are_waited_for_longer(collector, start, looks, monkeypatch):
    monkeypatch.setattr(senders, "_AGENTS_S", 60.0)
    looks.end = start(agent=True)
    assert senders.wait(collector, 0.0)
    assert len(looks) == 3


def test_a_push_that_is_being_merged_is_waited_for(collector):
    with collector.request():
        assert not senders.wait(collector, 0.1)
    assert senders.wait(collector, 60.0)
