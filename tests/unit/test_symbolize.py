# SPDX-License-Identifier: MIT
"""Names of the host for functions that no file names."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from gst_pyro_shim.segment.rows import HostName, Module
from gst_pyro_shim.symbols.elf_cache import ElfCache
from gst_pyro_shim.symbols.elf_file import ElfFile
from gst_pyro_shim.symbols.symbolize import Symbolizer, is_named

if TYPE_CHECKING:
    from pathlib import Path

BIAS = 0x7000_0000_0000
SOURCE = """
static __attribute__ ((noinline)) int hidden (int x) { __asm__ volatile (""); return x * 3; }
int (*const table[]) (int) = { hidden };
int exported (int x) { return table[0] (x) + 1; }
"""


class Host:
    """One module, and names that come."""

    pid = 1
    generation = 1

    def __init__(self, path: str) -> None:
        self.path = path
        self.named: list[HostName] = []

    def modules(self) -> list[Module]:
        return [Module(BIAS, BIAS + 0x10000, BIAS, self.path, "", 1, 0)]

    def names(self, first: int) -> list[HostName]:
        return self.named[first:]


@pytest.fixture
def module(tmp_path: Path) -> tuple[str, int]:
    """A stripped library, and where its hidden function begins."""
    source, whole, stripped = (tmp_path / name for name in ("a.c", "whole.so", "liba.so"))
    source.write_text(SOURCE, encoding="utf-8")
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", source, "-o", whole], check=True)
    done = subprocess.run(["nm", whole], check=True, capture_output=True, text=True)
    rows = {line.split()[-1]: line.split()[0] for line in done.stdout.splitlines()}
    subprocess.run(["objcopy", "--strip-all", whole, stripped], check=True)
    return str(stripped), int(rows["hidden"], 16)


def test_a_name_that_comes_later_replaces_the_identity(module: tuple[str, int]):
    path, hidden = module
    host = Host(path)
    symbolizer = Symbolizer(host)
    symbolizer.refresh()
    (before,) = symbolizer.frames(BIAS + hidden + 2, 1)
    assert before.name == f"liba.so+{hidden:#x}"
    assert not is_named(before)
    version = symbolizer.version
    host.named.append(HostName(BIAS + hidden, 0, "gst_thing_chain", 1))
    symbolizer.refresh()
    assert symbolizer.version > version
    (after,) = symbolizer.frames(BIAS + hidden + 2, 1)
    assert (after.name, after.module) == ("gst_thing_chain", path)
    assert is_named(after)


def test_a_name_for_what_was_not_asked_for_changes_nothing_answered(module: tuple[str, int]):
    path, hidden = module
    host = Host(path)
    symbolizer = Symbolizer(host)
    symbolizer.frames(BIAS + hidden + 2, 1)
    version = symbolizer.version
    host.named += [
        HostName(BIAS + hidden + 0x100, 0, "other", 1),
        HostName(0x1000, 0, "of no module", 1),
        HostName(0x2000, 16, "orc: kernel", 1),
    ]
    symbolizer.refresh()
    assert symbolizer.version == version


def test_the_files_own_names_come_first(module: tuple[str, int]):
    path, _ = module
    done = subprocess.run(["nm", "-D", path], check=True, capture_output=True, text=True)
    exported = next(int(line.split()[0], 16) for line in done.stdout.splitlines() if "exp" in line)
    host = Host(path)
    host.named.append(HostName(BIAS + exported, 0, "GstThing.transform", 1))
    symbolizer = Symbolizer(host)
    symbolizer.refresh()
    assert [frame.name for frame in symbolizer.frames(BIAS + exported, 1)] == ["exported"]


def test_code_in_no_module_is_named_by_its_range(module: tuple[str, int]):
    host = Host(module[0])
    symbolizer = Symbolizer(host)
    assert [frame.name for frame in symbolizer.frames(0x2004, 1)] == ["[jit]"]
    version = symbolizer.version
    host.named.append(HostName(0x2000, 16, "orc: kernel", 1))
    symbolizer.refresh()
    assert symbolizer.version > version
    (frame,) = symbolizer.frames(0x2004, 1)
    assert frame.name == "orc: kernel"
    assert is_named(frame)


def test_compressed_dwarf_is_read_where_samples_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("gst_pyro_shim.symbols.symbolize._CHEAP_BYTES", 0)
    source, path = tmp_path / "a.c", tmp_path / "liba.so"
    source.write_text(SOURCE, encoding="utf-8")
    command = ["cc", "-O1", "-g", "-gz", "-shared", "-fPIC", str(source), "-o", str(path)]
    subprocess.run(command, check=True)
    done = subprocess.run(["nm", path], check=True, capture_output=True, text=True)
    at = next(int(line.split()[0], 16) for line in done.stdout.splitlines() if "hidden" in line)
    symbolizer = Symbolizer(Host(str(path)))
    key = (str(path), "")

    def answer() -> tuple[str, int]:
        (frame,) = symbolizer.frames(BIAS + at, 1)
        return frame.name, frame.line

    assert answer() == ("hidden", 0)
    symbolizer.promote({key: 4, ("other", ""): 96})
    assert answer() == ("hidden", 0)
    version = symbolizer.version
    symbolizer.promote({key: 5, ("other", ""): 95})
    assert symbolizer.version > version
    assert answer() == ("hidden", 2)
    symbolizer.end_window()
    symbolizer.promote({key: 1})
    assert symbolizer.version == version + 1


def test_hosts_in_one_process_share_what_is_open(
    module: tuple[str, int], monkeypatch: pytest.MonkeyPatch
):
    path, hidden = module
    opened = []
    real = ElfFile.open

    def count(*given: str) -> ElfFile | None:
        opened.append(given)
        return real(*given)

    monkeypatch.setattr(ElfFile, "open", count)
    files = ElfCache()
    for _ in range(3):
        (frame,) = Symbolizer(Host(path), None, files).frames(BIAS + hidden + 2, 1)
        assert frame.name == f"liba.so+{hidden:#x}"
    assert opened == [(path, "")]
