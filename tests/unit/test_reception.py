# SPDX-License-Identifier: MIT
"""agent/reception.py: whose handover is accepted, and that none made in time is lost.

Context: test.
"""

import os
import socket
import threading

import pytest

from gst_pyro_shim.agent.reception import Reception
from tests.support.fake_shim import FakeShim
from tests.support.waiting import wait_for


class Host:
    """A reception whose agents run until `leave` is set."""

    def __init__(self, **given):
        self.handovers = []
        self.leave = threading.Event()
        self.reception = Reception(self._serve, **given)

    def _serve(self, handover):
        self.handovers.append(handover)
        self.leave.wait(10)


@pytest.fixture
def host():
    one = Host(word="secret")
    yield one
    one.leave.set()
    one.reception.close()
    assert one.reception.wait(10)


@pytest.fixture
def shim():
    with FakeShim() as one:
        yield one


def test_a_handover_holds_what_the_host_has_sent(host, shim):
    host.reception.start()
    shim.hand_in(host.reception.address, GST_PYROSCOPE_TAGS="a=b", HOME="/somewhere")
    wait_for(lambda: host.handovers)
    (handover,) = host.handovers
    assert handover.pid == os.getpid()
    assert handover.environ == {"GST_PYROSCOPE_TAGS": "a=b"}
    assert os.fstat(handover.memory).st_ino == os.fstat(shim.fd).st_ino
    assert not os.get_inheritable(handover.memory)
    assert os.fstat(handover.stderr).st_ino == os.fstat(2).st_ino


def test_descriptors_are_closed_once_a_host_was_served(host, shim):
    host.reception.start()
    shim.hand_in(host.reception.address)
    wait_for(lambda: host.handovers)
    host.leave.set()
    assert host.reception.wait(10)
    for descriptor in (host.handovers[0].memory, host.handovers[0].stderr, host.handovers[0].pidfd):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


@pytest.mark.parametrize("word", ["", "guess", "secret2"])
def test_a_handover_without_the_word_is_refused(host, shim, word):
    host.reception.start()
    name = host.reception.address.split()[0]
    shim.hand_in(f"{name} {word}")
    shim.hand_in(host.reception.address)
    wait_for(lambda: host.handovers)
    assert [handover.word for handover in host.handovers] == ["secret"]


def test_a_message_that_is_no_handover_is_ignored(host, shim):
    host.reception.start()
    address = f"\0{host.reception.address.split()[0]}"
    for text in (b"secret", b"\xff", b"x" * 60_000, None):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
            stranger.connect(address)
            if text is not None:
                stranger.send(text)
    shim.hand_in(host.reception.address)
    wait_for(lambda: host.handovers)
    assert len(host.handovers) == 1


def test_connections_before_the_start_and_in_the_backlog_at_the_end_are_served(host, shim):
    shim.hand_in(host.reception.address)
    shim.hand_in(host.reception.address)
    host.reception.start()
    host.reception.close()
    assert not host.reception.wait(0)
    wait_for(lambda: len(host.handovers) == 2)
    with pytest.raises(ConnectionRefusedError):
        shim.hand_in(host.reception.address)


def test_a_name_that_is_taken_is_refused_and_free_again_at_the_end():
    first = Host(name=f"gst-pyro-test-{os.getpid()}")
    with pytest.raises(OSError, match="in use"):
        Host(name=f"gst-pyro-test-{os.getpid()}")
    first.reception.close()
    Host(name=f"gst-pyro-test-{os.getpid()}").reception.close()


def test_it_lingers_until_no_host_has_been_served_for_that_long(shim):
    host = Host(name=f"gst-pyro-test-{os.getpid()}")
    host.reception.start()
    shim.hand_in(f"{host.reception.address.split()[0]} /")
    wait_for(lambda: host.handovers)
    lingering = threading.Thread(target=host.reception.linger, args=(0.05,))
    lingering.start()
    lingering.join(0.3)
    assert lingering.is_alive()
    host.leave.set()
    lingering.join(10)
    assert not lingering.is_alive()
    host.reception.close()
