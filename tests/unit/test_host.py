# SPDX-License-Identifier: MIT
"""agent/host.py: an agent notices that its host has ended, or runs another program.

Context: tests.
"""

from __future__ import annotations

import errno
import os
import subprocess

import pytest

from gst_pyro_shim.agent.host import Host


@pytest.fixture
def child():
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("is_allowed", [True, False], ids=["pidfd", "no pidfd"])
def test_the_end_of_a_host_beside_is_noticed(is_allowed, child, monkeypatch):
    if not is_allowed:

        def refuse(_pid):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

        monkeypatch.setattr(os, "pidfd_open", refuse)
    host = Host(child.pid, "process")
    assert not host.has_ended
    child.kill()
    child.wait()
    assert host.has_ended


def test_a_host_that_ended_before_is_no_error(child):
    child.kill()
    child.wait()
    assert Host(child.pid, "process").has_ended


def test_a_host_that_holds_the_agent_has_not_ended():
    assert not Host(os.getpid(), "embedded").has_ended


def test_a_host_without_our_memory_has_left(child):
    host = Host(child.pid, "process")
    assert host.has_left()
    assert host.has_ended
