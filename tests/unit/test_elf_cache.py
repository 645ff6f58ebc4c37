# SPDX-License-Identifier: MIT
"""symbols/elf_cache.py: files stay open while they are used, and no more than a few.

Context: test.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from gst_pyro_shim.segment.rows import Module
from gst_pyro_shim.symbols import elf_cache
from gst_pyro_shim.symbols.elf_cache import ElfCache

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = "int answer (void) { return 42; }\n"
IDS = ("11" * 20, "22" * 20, "33" * 20)


def module(path: Path, build_id: str) -> Module:
    return Module(0x1000, 0x2000, 0, str(path), build_id, 1, 0)


@pytest.fixture
def modules(tmp_path: Path) -> list[Module]:
    """Three libraries with debug information, each of another build."""
    source = tmp_path / "a.c"
    source.write_text(SOURCE, encoding="utf-8")
    found = []
    for number, build_id in enumerate(IDS):
        path = tmp_path / f"lib{number}.so"
        command = ["cc", "-g", "-shared", "-fPIC", f"-Wl,--build-id=0x{build_id}"]
        subprocess.run([*command, str(source), "-o", str(path)], check=True)
        found.append(module(path, build_id))
    return found


def test_a_file_is_opened_once(modules: list[Module]):
    cache = ElfCache()
    file = cache.get(modules[0])
    assert file is not None
    assert cache.get(modules[0]) is cache.known(modules[0].key) is file
    assert cache.known(modules[1].key) is None


def test_a_file_of_another_build_or_none_is_remembered_as_missing(
    modules: list[Module], tmp_path: Path
):
    cache = ElfCache()
    other = module(tmp_path / "lib0.so", IDS[1])
    assert cache.get(other) is cache.get(module(tmp_path / "nothing.so", "")) is None


def test_the_file_that_was_not_used_for_longest_makes_room(
    modules: list[Module], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(elf_cache, "_MAX_FILES", 2)
    cache = ElfCache()
    for one in (modules[0], modules[1], modules[0], modules[2]):
        cache.get(one)
    assert [cache.known(one.key) is not None for one in modules] == [True, False, True]


def test_files_that_were_not_used_in_the_last_windows_are_closed(modules: list[Module]):
    cache = ElfCache()
    for one in modules:
        cache.get(one)
    for _ in range(elf_cache._IDLE_WINDOWS + 1):
        cache.get(modules[1])
        cache.end_window()
    assert [cache.known(one.key) is not None for one in modules] == [False, True, False]


def test_of_files_with_debug_information_the_last_used_stay_open(
    modules: list[Module], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(elf_cache, "_MAX_DWARF_FILES", 1)
    cache = ElfCache()
    for one in modules:
        file = cache.get(one)
        assert file is not None
        if one is not modules[1]:  # whose debug information was not read
            file.lookup(0x1000, symbols_only=False)
            assert file.has_dwarf
    cache.end_window()
    assert [cache.known(one.key) is not None for one in modules] == [False, True, True]


def test_a_build_whose_debug_file_was_fetched_is_opened_again(modules: list[Module]):
    cache = ElfCache()
    for one in modules:
        cache.get(one)
    cache.forget(IDS[1])
    assert [cache.known(one.key) is not None for one in modules] == [True, False, True]
    assert cache.get(modules[1]) is not None
