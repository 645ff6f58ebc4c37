# SPDX-License-Identifier: MIT
"""csrc/agent/symbolizer*.c: names, starts, lines and inlined calls from every place where they can be.

Addresses of one module are looked up, under ASan and UBSan: in the whole file, stripped, with its debug information
elsewhere, and damaged.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = [pytest.mark.native, pytest.mark.slow]

HERE = Path(__file__).parent / "symbolizer"
CSRC = Path(__file__).parents[2] / "csrc"
SYMBOLIZER = [CSRC / "agent" / "elf_file.c", *sorted((CSRC / "agent").glob("symbolizer*.c"))]
WARNINGS = ("-Wall", "-Wextra", "-Wshadow", "-Wvla", "-Wstrict-prototypes", "-Werror")


def sh(*words: object) -> str:
    return subprocess.run(
        [str(word) for word in words],
        check=True,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60,
    ).stdout


@dataclass(frozen=True, slots=True)
class Frame:
    name: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Answer:
    start: int
    frames: list[Frame]

    @property
    def names(self) -> list[str]:
        return [frame.name for frame in self.frames]


@dataclass(frozen=True, slots=True)
class Bench:
    """A folder with the program under test, and the folder that stands for /usr/lib/debug."""

    folder: Path
    debug_root: Path

    def ask(
        self, file: Path, *addresses: int, build_id: str = "", dwarf: bool = True
    ) -> list[Answer]:
        out = self.raw(file, *addresses, build_id=build_id, dwarf=dwarf)
        answers = []
        for line in out.splitlines():
            start, *frames = line.split("\t")
            parts = [frame.split("|") for frame in frames]
            answers.append(
                Answer(int(start, 16), [Frame(name, at, int(no)) for name, at, no in parts])
            )
        return answers

    def raw(self, file: Path, *addresses: int, build_id: str = "", dwarf: bool = True) -> str:
        how = "all" if dwarf else "symbols"
        words = [f"{address:x}" for address in addresses]
        return sh(self.folder / "lookup", file, build_id, how, *words)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("symbolizer")
    debug_root = folder / "debug-root"
    debug_root.mkdir()
    sh(
        os.environ.get("CC", "gcc"), "-std=gnu11", "-O1", "-g", "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all", *WARNINGS, f'-DGP_DEBUG_ROOT="{debug_root}"', f"-I{CSRC}",
        HERE / "lookup.c", *SYMBOLIZER, "-o", folder / "lookup",
        "-ldw", "-lelf", "-liberty",
    )  # fmt: skip
    return Bench(folder, debug_root)


def build(folder: Path, *flags: str, source: str = "module.c", compiler: str = "gcc") -> Path:
    path = folder / f"lib{source.split('.', maxsplit=1)[0]}.so"
    sh(
        compiler,
        "-O2",
        "-g",
        "-fPIC",
        "-shared",
        "-Wl,--build-id",
        *flags,
        HERE / source,
        "-o",
        path,
    )
    return path


def symbols(file: Path) -> dict[str, int]:
    rows = (line.split() for line in sh("nm", file).splitlines())
    return {row[2]: int(row[0], 16) for row in rows if len(row) == 3}


def build_id(file: Path) -> str:
    notes = sh("readelf", "-n", file)
    return notes.split("Build ID: ")[1].split()[0]


def strip(file: Path, to: Path) -> Path:
    to.parent.mkdir(exist_ok=True, parents=True)
    sh("objcopy", "--strip-all", file, to)
    return to


def line_of(source: str, text: str) -> int:
    lines = (HERE / source).read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if f"line of {text} " in line)


@pytest.fixture
def module(tmp_path: Path) -> Path:
    return build(tmp_path)


def test_all_kinds_of_functions_are_named_where_nothing_was_stripped(bench: Bench, module: Path):
    at = symbols(module)
    names = (
        "exported_first",
        "exported_last",
        "hidden",
        "asm_routine",
        "asm_helper",
        "sized_helper",
    )
    answers = bench.ask(module, *(at[name] + 3 for name in names), dwarf=False)
    assert [answer.names for answer in answers] == [[name] for name in names]
    assert [answer.start for answer in answers] == [at[name] for name in names]


def test_a_label_inside_assembly_is_not_a_function(bench: Bench, module: Path):
    (answer,) = bench.ask(module, symbols(module)["asm_helper"] + 70)
    assert answer.names == ["asm_helper"]


def test_inlined_calls_and_lines_come_from_dwarf(bench: Bench, module: Path):
    at = symbols(module)["exported_last"]
    answers = bench.ask(module, *range(at, at + 40))
    inlined = {tuple(one.names) for one in answers if len(one.frames) > 1}
    assert inlined <= {("innermost", "middle", "exported_last"), ("middle", "exported_last")}
    frames = next(one.frames for one in answers if len(one.frames) == 3)
    assert [frame.line for frame in frames[1:]] == [
        line_of("module.c", "middle"),
        line_of("module.c", "exported_last"),
    ]
    assert all(frame.file.endswith("module.c") for frame in frames)
    lines = {one.frames[0].line for one in answers if len(one.frames) == 3}
    assert line_of("module.c", "innermost") in lines
    assert [one.names for one in bench.ask(module, at, dwarf=False)] == [["exported_last"]]


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("flags", [("-gdwarf-4",), ("-gdwarf-5",), ("-gdwarf-4", "-gz")])
def test_dwarf_of_both_compilers_is_read(
    bench: Bench, tmp_path: Path, compiler: str, flags: tuple[str, ...]
):
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} here")
    module = build(tmp_path, *flags, compiler=compiler)
    at = symbols(module)["exported_last"]
    answers = bench.ask(module, *range(at, at + 24))
    assert ["innermost", "middle", "exported_last"] in [one.names for one in answers]
    spaces = build(tmp_path, *flags, source="spaces.cc", compiler=compiler.replace("gcc", "g++"))
    method = "_ZN5outer3Box6methodEi"
    (found,) = bench.ask(spaces, symbols(spaces)[method] + 4)
    # An inlined body of unnamed() may stand there too; the function itself is known by its linkage name.
    assert found.names[-1] == method
    assert found.frames[-1].file.endswith("spaces.cc")


def test_a_stripped_function_is_known_by_its_beginning(bench: Bench, module: Path, tmp_path: Path):
    at = symbols(module)
    stripped = strip(module, tmp_path / "stripped.so")
    first, hidden, inside = bench.ask(
        stripped, at["exported_first"] + 3, at["hidden"], at["hidden"] + 9
    )
    assert first.names == ["exported_first"]
    assert hidden.names == inside.names == [""]
    assert hidden.start == inside.start == at["hidden"]


def test_assembly_in_a_stripped_file_begins_where_something_points(
    bench: Bench, module: Path, tmp_path: Path
):
    at = symbols(module)
    stripped = strip(module, tmp_path / "stripped.so")
    for name in ("asm_helper", "sized_helper"):
        answers = bench.ask(stripped, *(at[name] + offset for offset in (0, 20, 59)))
        assert {(one.start, one.names[0]) for one in answers} == {(at[name], "")}


def test_assembly_for_aarch64_begins_where_something_points(bench: Bench, tmp_path: Path):
    compiler = "aarch64-linux-gnu-gcc"
    if shutil.which(compiler) is None:
        pytest.skip("needs gcc-aarch64-linux-gnu libc6-dev-arm64-cross")
    file = build(tmp_path, source="assembly_a64.c", compiler=compiler)
    at = symbols(file)
    stripped = tmp_path / "stripped.so"
    sh("aarch64-linux-gnu-objcopy", "--strip-all", file, stripped)
    for name, length in (("called", 12), ("in_table", 36), ("pointed", 36)):
        answers = bench.ask(stripped, *range(at[name], at[name] + length, 4))
        assert {(one.start, one.names[0]) for one in answers} == {(at[name], "")}


def test_exported_assembly_names_itself_but_not_its_neighbours(
    bench: Bench, module: Path, tmp_path: Path
):
    at = symbols(module)
    stripped = strip(module, tmp_path / "stripped.so")
    own = bench.ask(stripped, *range(at["asm_routine"], at["asm_helper"], 8))
    assert {(one.start, one.names[0]) for one in own} == {(at["asm_routine"], "asm_routine")}


def test_debug_files_are_found_by_build_id(bench: Bench, module: Path, tmp_path: Path):
    at = symbols(module)
    stripped = strip(module, tmp_path / "stripped.so")
    number = build_id(module)
    place = bench.debug_root / ".build-id" / number[:2] / f"{number[2:]}.debug"
    place.parent.mkdir(parents=True)
    sh("objcopy", "--only-keep-debug", module, place)
    (hidden,) = bench.ask(stripped, at["hidden"] + 9)
    assert hidden.names == ["hidden"]
    assert hidden.frames[0].line > 0
    place.unlink()
    assert bench.ask(stripped, at["hidden"] + 9)[0].names == [""]


@pytest.mark.parametrize("place", ["beside", ".debug", "root"])
@pytest.mark.parametrize("identity", ["sha1", "none"])
def test_debug_files_are_found_by_debuglink(
    bench: Bench, tmp_path: Path, place: str, identity: str
):
    module = build(tmp_path, f"-Wl,--build-id={identity}")
    home = tmp_path / "home"
    folder = {
        "beside": home,
        ".debug": home / ".debug",
        "root": Path(f"{bench.debug_root}{home}"),
    }[place]
    folder.mkdir(parents=True)
    debug = folder / "module.debug"
    sh("objcopy", "--only-keep-debug", module, debug)
    stripped = strip(module, home / "stripped.so")
    sh("objcopy", f"--add-gnu-debuglink={debug}", stripped)
    at = symbols(module)["hidden"] + 9
    assert bench.ask(stripped, at)[0].names == ["hidden"]
    # A file of that name that is another's is not taken.
    other = build(tmp_path, "-DOTHER", "-O0")
    sh("objcopy", "--only-keep-debug", other, debug)
    assert bench.ask(stripped, at)[0].names == [""]


def test_mini_debug_info_is_read(bench: Bench, module: Path, tmp_path: Path):
    at = symbols(module)
    mini = tmp_path / "mini"
    stripped = strip(module, tmp_path / "stripped.so")
    sh("objcopy", "-S", "--remove-section=.comment", "--keep-symbol=hidden", module, mini)
    sh("xz", mini)
    sh("objcopy", f"--add-section=.gnu_debugdata={mini}.xz", stripped)
    assert bench.ask(stripped, at["hidden"] + 9)[0].names == ["hidden"]


@pytest.mark.skipif(shutil.which("dwz") is None, reason="no dwz here")
def test_dwz_alternate_files_are_read(bench: Bench, tmp_path: Path):
    one = build(tmp_path)
    two = tmp_path / "copy.so"
    shutil.copy(one, two)
    sh("dwz", "-m", tmp_path / "common.debug", "-M", tmp_path / "common.debug", one, two)
    at = symbols(one)["exported_last"]
    answers = bench.ask(one, *range(at, at + 40))
    assert ["innermost", "middle", "exported_last"] in [answer.names for answer in answers]


def test_another_build_and_no_file_are_told_apart(bench: Bench, module: Path, tmp_path: Path):
    assert bench.raw(module, 0, build_id="00" * 20) == "status 2\n"
    assert bench.raw(module, 0, build_id=build_id(module)) != "status 2\n"
    assert bench.raw(tmp_path / "gone.so", 0) == "status 1\n"
    text = tmp_path / "text.so"
    text.write_text("no ELF file")
    assert bench.raw(text, 0) == "status 3\n"


def test_the_vdso_is_named(bench: Bench):
    names = {one.names[0] for one in bench.ask(Path("[vdso]"), *range(0x200, 0x2000, 32))}
    assert any("clock_gettime" in name for name in names)


def test_addresses_of_nothing_are_themselves(bench: Bench, module: Path):
    nothing = 0x7FFF_FFFF_0000
    (answer,) = bench.ask(module, nothing)
    assert answer.names == [""]
    assert answer.start <= nothing


@pytest.mark.fuzz
def test_damaged_files_are_survived(bench: Bench, module: Path, tmp_path: Path):
    rng = random.Random(5)
    whole = module.read_bytes()
    at = symbols(module)
    for number in range(40):
        data = bytearray(whole)
        for _ in range(rng.choice([1, 10, 200])):
            where = rng.randrange(64 if number % 2 else 0, len(data))
            data[where] = rng.randrange(256)
        if number % 5 == 0:
            data = data[: rng.randrange(len(data))]
        broken = tmp_path / "broken.so"
        broken.write_bytes(data)
        bench.raw(broken, *(at[name] + 2 for name in ("hidden", "exported_last", "asm_helper")))
