# SPDX-License-Identifier: MIT
"""Code in no file: named ranges, ORC's memory, other compilers' memory."""

from __future__ import annotations

import mmap
import os
from ctypes import addressof, c_char
from typing import TYPE_CHECKING

import pytest

from gst_pyro_shim.pprof.model import JIT, ORC, Frame
from gst_pyro_shim.segment.rows import HostName
from gst_pyro_shim.symbols.jit_names import JitNames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def code(tmp_path: Path) -> Iterator[Callable[[str], int]]:
    """Maps a page of executable memory: of a file of this name, or anonymous."""
    kept = []

    def make(name: str) -> int:
        fd = -1
        if name:
            fd = os.open(tmp_path / name, os.O_RDWR | os.O_CREAT)
            os.ftruncate(fd, mmap.PAGESIZE)
        page = mmap.mmap(fd, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        if name:
            (tmp_path / name).unlink()
            os.close(fd)
        first = c_char.from_buffer(page)
        kept.append((first, page))
        return addressof(first)

    yield make
    while kept:
        first, page = kept.pop()
        del first
        page.close()


def test_ranges_have_the_name_that_came_last():
    known = JitNames(os.getpid())
    known.add(HostName(0x1000, 0x80, "orc: first", 1))
    known.add(HostName(0x2000, 0x40, "orc: second", 1))
    known.add(HostName(0x1000, 0x20, "orc: third", 2))
    assert known.frame(0x101F) == Frame("orc: third")
    assert known.frame(0x2000) == Frame("orc: second")
    assert known.frame(0x1020) is JIT
    assert known.frame(0x2040) is JIT


def test_memory_of_orc_is_recognized(code: Callable[[str], int]):
    orc, anonymous, mixed = code("orcexec.abcdef"), code(""), code("unlinked")
    known = JitNames(os.getpid())
    known.add(HostName(mixed + 64, 32, "orc: one", 1))
    assert known.frame(orc + 100) is ORC
    assert known.frame(anonymous + 100) is JIT
    assert known.frame(mixed) is ORC
    assert known.frame(mixed + 64) == Frame("orc: one")


def test_a_host_that_is_gone_has_code_of_no_kind():
    assert JitNames(2**22 + 1).frame(0x1000) is JIT
