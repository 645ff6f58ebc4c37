# SPDX-License-Identifier: MIT
"""segment/dump.py, segment/snapshot.py: what a dump shows of a segment, and that the segment stays as it was.

Context: test. A dump of a real pipeline: tests/integration/test_dump.py.
"""

import hashlib
import os
import subprocess
import sys

import pytest

from gst_pyro_shim.errors import SegmentError
from gst_pyro_shim.segment import dump
from gst_pyro_shim.segment.segment import Segment
from tests.support.fake_shim import FakeShim, exact, label_tag

PC = 0x7F0000001234


def _state(fd):
    """What a dump must not change: the bytes of the segment, and how much memory they take."""
    blocks, size = os.fstat(fd).st_blocks, os.fstat(fd).st_size
    digest = hashlib.sha256()
    for at in range(0, size, 1 << 20):
        digest.update(os.pread(fd, 1 << 20, at))
    return blocks, digest.digest()


def _dumped(capsys, *words):
    assert dump.main(["--pid", str(os.getpid()), *words]) == 0
    return capsys.readouterr().out


@pytest.fixture
def shim():
    with FakeShim() as fake:
        thread = fake.thread(4711, "queue0:src")
        element = fake.element("x264enc0", "x264enc")
        fake.account(thread, element, 1_500_000)
        fake.link(element, element)
        fake.module(0x7F0000000000, 0x7F0000010000, 0x7F0000000000, "/lib/libx264.so")
        fake.record(thread, element, [PC, exact(PC + 1), label_tag(element), 1])
        fake.record(thread, element, [PC, label_tag(element)])
        yield fake


def test_each_part_is_shown(shim, capsys):
    out = _dumped(capsys)
    assert "clock 2 (timer)" in out
    assert "0.1 live tid 4711 queue0:src" in out
    assert "2.1 x264enc0 live element (x264enc) in 1.1 pipeline0" in out
    assert "1.500 ms thread 0.1 label 2.1 x264enc0 live" in out
    assert "2.1 x264enc0 -> 2.1 x264enc0" in out
    assert "/lib/libx264.so added in 1" in out
    assert "2 committed records" in out
    assert "/lib/libx264.so 0x1234" in out
    assert "EXACT /lib/libx264.so 0x1235" in out
    assert "LABEL 2.1 x264enc0" in out
    assert "in no module" in out


def test_only_as_many_records_as_asked_for(shim, capsys):
    assert _dumped(capsys, "--last", "1").count("record of") == 1
    assert _dumped(capsys, "--last", "0").count("record of") == 0


def test_a_dump_changes_nothing(shim, capsys):
    """Nor does it give holes of the segment memory. What is there is the agent's as before."""
    shim.end_label(2)
    before = _state(shim.fd)
    first = _dumped(capsys)
    assert _state(shim.fd) == before
    assert _dumped(capsys) == first
    segment = Segment.from_fd(shim.fd)
    assert len(segment.drain().data) == (8 + 8) * 8
    assert [account.ns for account in segment.take_accounts()] == [1_500_000]
    segment.close()


def test_memory_that_is_only_mapped_is_found(shim, capsys):
    """As in an agent's process, which has closed the descriptor. Only root may open it there."""
    script = (
        "import os, sys; from gst_pyro_shim.segment.segment import Segment;"
        f" segment = Segment.from_fd({shim.fd}); os.close({shim.fd}); print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        pass_fds=[shim.fd],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as agent:
        agent.stdout.readline()
        status = dump.main(["--pid", str(agent.pid)])
        agent.communicate()
    shown = capsys.readouterr()
    if status == 0:
        assert "2.1 x264enc0 live element" in shown.out
    else:
        assert "Run the dump as root" in shown.err


def test_trouble_is_one_message_and_what_to_do(shim, capsys):
    shim.raw.abi_version = 99
    assert dump.main(["--pid", str(os.getpid())]) == SegmentError.exit_code
    assert "different versions" in capsys.readouterr().err
    assert dump.main(["--pid", str(os.getppid())]) == SegmentError.exit_code
    assert "has no segment" in capsys.readouterr().err
    assert dump.main(["--pid", str(2**22 + 1)]) == SegmentError.exit_code
    assert "There is no process" in capsys.readouterr().err
