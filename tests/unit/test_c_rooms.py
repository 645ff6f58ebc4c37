# SPDX-License-Identifier: MIT
"""Files of csrc/ include what csrc/README.md permits their room, and never in a circle."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.graphs import circle

CSRC = Path(__file__).parents[2] / "csrc"
ROW = re.compile(r"^\| `([a-z/]+)` \| ([a-z, ]+) \| [^|]+ \|((?: `[a-z/]+`)*) \|$", re.MULTILINE)
INCLUDE = re.compile(r'^#include "([^"]+)"', re.MULTILINE)
CONTEXTS = {"any", "signal", "hook", "lifecycle", "poller", "agent"}


def rooms() -> dict[str, set[str]]:
    """The rooms of csrc/README.md, and the rooms that each may include."""
    found = ROW.findall((CSRC / "README.md").read_text("utf-8"))
    assert all(set(context.split(", ")) <= CONTEXTS for _, context, _ in found)
    return {room: set(re.findall(r"`([a-z/]+)`", may)) for room, _, may in found}


def includes() -> dict[str, set[str]]:
    """By file, as its path in csrc/: the project's own files that it includes."""
    return {
        str(path.relative_to(CSRC)): set(INCLUDE.findall(path.read_text("utf-8")))
        for path in sorted(CSRC.rglob("*.[ch]"))
    }


def room_of(file: str) -> str:
    return file.rpartition("/")[0]


def trespasses(files: dict[str, set[str]], permitted: dict[str, set[str]]) -> set[tuple[str, str]]:
    """Includes from one room to another that the table does not permit."""
    return {
        (file, other)
        for file, others in files.items()
        for other in others
        if room_of(other) not in {room_of(file), *permitted[room_of(file)]}
    }


def units(files: dict[str, set[str]]) -> dict[str, set[str]]:
    """The same for C files, each taken together with the header of its name."""
    graph: dict[str, set[str]] = {}
    for file, others in files.items():
        unit = file.rpartition(".")[0]
        graph.setdefault(unit, set()).update(
            {other.rpartition(".")[0] for other in others} - {unit}
        )
    return graph


def test_every_folder_with_c_files_is_a_room_of_the_table() -> None:
    assert {room_of(file) for file in includes()} == set(rooms())


def test_rooms_include_what_the_table_permits() -> None:
    assert trespasses(includes(), rooms()) == set()


def test_rooms_have_no_circle() -> None:
    assert circle(rooms()) == []


def test_every_include_is_a_file() -> None:
    files = includes()
    assert {other for others in files.values() for other in others} <= set(files)


def test_files_have_no_circle() -> None:
    assert circle(units(includes())) == []


@pytest.mark.parametrize(
    ("file", "other"),
    [
        ("shim/signal/unwind.c", "shim/labels/label.h"),
        ("shim/base/segment.h", "shim/start/start.h"),
        ("agent/reader.c", "shim/base/segment.h"),
    ],
)
def test_a_planted_trespass_is_found(file: str, other: str) -> None:
    files = includes()
    files[file].add(other)
    assert trespasses(files, rooms()) == {(file, other)}


def test_a_planted_circle_is_found() -> None:
    files = includes()
    files["shim/labels/account.h"].add("shim/labels/label.h")
    assert {"shim/labels/account", "shim/labels/label"} <= set(circle(units(files)))
