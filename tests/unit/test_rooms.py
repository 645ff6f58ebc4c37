# SPDX-License-Identifier: MIT
"""The rooms of the package: each imports the rooms that its docstring names, and nothing imports in a circle.

An import counts wherever it stands: at the top of a file, in a function, for type checkers alone.

Context: test.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import gst_pyro_shim
from tests.support.graphs import circle

PACKAGE = Path(gst_pyro_shim.__file__).parent
ROOMS = sorted(file.parent.name for file in PACKAGE.glob("*/__init__.py"))


def _imported(file: Path) -> set[str]:
    """Full names of all that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file} imports by a relative name"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def file_graph(package: Path) -> dict[str, set[str]]:
    """Which file of a package imports which of its files; "room.file", without the package's name."""
    files = [file for suffix in ("py", "pyi") for file in package.rglob(f"*.{suffix}")]
    modules = {".".join(file.relative_to(package).with_suffix("").parts): file for file in files}
    graph = {}
    for module, file in modules.items():
        graph[module] = set()
        for full in _imported(file):
            name = full.removeprefix(f"{package.name}.")
            if name == full:
                continue
            # A file, or something that a file holds.
            found = {name, name.rpartition(".")[0]} & modules.keys()
            graph[module] |= found or {"__init__"}
    return graph


def room_graph(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """Which room imports which other room, of a graph of files."""
    rooms: dict[str, set[str]] = {}
    for module, imported in graph.items():
        room, dot, _ = module.partition(".")
        if dot:
            others = {name.partition(".")[0] for name in imported if "." in name}
            rooms.setdefault(room, set()).update(others - {room})
    return rooms


def _named(file: Path, pattern: str) -> set[str]:
    """Names in the one line of a docstring that matches: "a, b", or "nothing"."""
    (line,) = re.findall(
        rf"^{pattern}: (.+)\.$", ast.get_docstring(ast.parse(file.read_text())), re.MULTILINE
    )
    return set() if line == "nothing" else set(line.split(", "))


GRAPH = file_graph(PACKAGE)
BASE = _named(PACKAGE / "__init__.py", "Every room imports")


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_the_rooms_that_it_names_and_no_others(room):
    assert room_graph(GRAPH)[room] == _named(PACKAGE / room / "__init__.py", "Imports")


def test_of_the_files_on_top_rooms_import_the_base_alone():
    on_top = {
        name
        for module, imported in GRAPH.items()
        if "." in module or module in BASE
        for name in imported
        if "." not in name
    }
    assert on_top - {"__init__"} <= BASE
    in_rooms = {module: {name for name in GRAPH[module] if "." in name} for module in BASE}
    assert not any(in_rooms.values()), in_rooms


def test_no_rooms_import_in_a_circle():
    assert circle(room_graph(GRAPH)) == []


def test_no_files_import_in_a_circle():
    assert circle(GRAPH) == []


def test_a_room_costs_nothing_to_import():
    assert not any(_imported(file) for file in PACKAGE.rglob("__init__.py"))


@pytest.mark.parametrize(
    "back",
    [
        "from planted.low.a import f",
        "import planted.low.a",
        "from planted.low import a",
        "def late():\n    from planted.low import a",
        "if TYPE_CHECKING:\n    from planted.low.a import f",
    ],
)
def test_a_planted_circle_is_seen(tmp_path, back):
    package = tmp_path / "planted"
    for room, file, text in (
        ("low", "a", "from planted.high.b import g"),
        ("high", "b", "from planted.high import c"),
        ("high", "c", back),
    ):
        (package / room).mkdir(parents=True, exist_ok=True)
        (package / room / "__init__.py").touch()
        (package / room / f"{file}.py").write_text(text)
    graph = file_graph(package)
    assert set(circle(graph)) == {"low.a", "high.b", "high.c"}
    assert room_graph(graph) == {"low": {"high"}, "high": {"low"}}
    assert set(circle(room_graph(graph))) == {"low", "high"}
    graph["high.c"].clear()
    assert circle(graph) == circle(room_graph(graph)) == []
