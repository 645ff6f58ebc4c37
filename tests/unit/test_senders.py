# SPDX-License-Identifier: MIT
"""senders.py: how long the controller waits for the last push, and for whom.

Context: test.
"""

import os
import subprocess
import sys
import threading
import time

import pytest

from gst_pyro_shim import senders
from gst_pyro_shim.collector import Collector
from tests import profiles


@pytest.fixture
def collector():
    with Collector() as one:
        yield one


@pytest.fixture
def start(collector):
    """Starts a process that has the collector's token; `agent` makes it look like one of ours."""
    started = []

    def start(seconds, *, agent=False):
        script = "from gst_pyro_shim import agent" if agent else "some other program"
        command = [sys.executable, "-c", f"import time; time.sleep({seconds}) # {script}"]
        environ = os.environ | {"GST_PYROSCOPE_COLLECTOR_TOKEN": collector.token}
        process = subprocess.Popen(command, env=environ)
        started.append(process)
        # Between fork and exec it still is us.
        while (
            collector.token.encode()
            not in senders.Path(f"/proc/{process.pid}/environ").read_bytes()
        ):
            time.sleep(0.01)
        threading.Thread(target=process.wait, daemon=True).start()  # no zombie
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def _waited(collector, timeout_s=5.0):
    started = time.monotonic()
    everything = senders.wait(collector, timeout_s)
    return everything, time.monotonic() - started


def test_nobody_is_not_waited_for(collector):
    everything, seconds = _waited(collector)
    assert everything
    assert seconds < 0.5


def test_a_host_that_is_about_to_report_is_waited_for(collector, start):
    start(0.7)
    everything, seconds = _waited(collector)
    assert everything
    assert 0.3 < seconds < 3


def test_a_program_that_lives_on_after_the_last_word_of_all_is_not_waited_for(collector, start):
    collector.merge.add(profiles.demo())
    start(20)
    everything, seconds = _waited(collector)
    assert everything
    assert seconds < 0.5


def test_an_agent_is_waited_for_though_others_have_said_their_last_word(collector, start):
    collector.merge.add(profiles.demo())
    start(0.7, agent=True)
    everything, seconds = _waited(collector)
    assert everything
    assert 0.3 < seconds < 3


def test_a_program_that_lives_on_is_waited_for_in_bounds(collector, start):
    collector.merge.add(profiles.demo(final=False))
    start(20)
    everything, seconds = _waited(collector, 0.3)
    assert not everything
    assert 0.3 <= seconds < 1


def test_agents_alone_are_waited_for_longer(collector, start):
    start(0.9, agent=True)
    everything, seconds = _waited(collector, 0.3)
    assert everything
    assert 0.5 < seconds < 4


def test_a_push_that_is_being_merged_is_waited_for(collector):
    with collector.request():
        assert not _waited(collector, 0.1)[0]
    assert _waited(collector)[0]
