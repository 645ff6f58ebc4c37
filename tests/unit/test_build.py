# SPDX-License-Identifier: MIT
"""requirements.py: what is missing is named with the command that installs it.

Context: test.
"""

import json
import subprocess

import pytest

import build_shim
from build_native import requirements
from gst_pyro_shim import paths
from gst_pyro_shim.errors import BuildError


@pytest.fixture
def bare(monkeypatch):
    """A system with apt-get, as a user, that has nothing else."""
    monkeypatch.setattr(
        requirements.shutil, "which", lambda name: name if name == "apt-get" else None
    )
    monkeypatch.setattr(requirements, "pkg_config", lambda *_: None)
    monkeypatch.setattr(requirements.sysconfig, "get_path", lambda _: "/nowhere")
    monkeypatch.setattr(paths, "libpython_path", lambda: None)
    monkeypatch.setattr(requirements.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(requirements.sys, "base_prefix", "/usr")


def refusal() -> str:
    with pytest.raises(BuildError) as raised:
        requirements.check_requirements()
    return str(raised.value)


def test_everything_missing_is_named_at_once_with_one_command(bare):
    text = refusal()
    for what in (
        "a C compiler",
        "pkg-config",
        "GStreamer headers",
        "libdw",
        "libiberty",
        "Python headers",
        "shared libpython",
    ):
        assert what in text
    assert (
        "sudo apt-get install -y build-essential pkg-config libgstreamer1.0-dev libdw-dev libiberty-dev "
        "python3-dev libpython3-dev"
    ) in text


@pytest.mark.parametrize(
    ("program", "command"),
    [("dnf", "sudo dnf install -y gcc"), ("pacman", "sudo pacman -S --needed gcc")],
)
def test_command_is_that_of_the_distribution(bare, monkeypatch, program, command):
    monkeypatch.setattr(
        requirements.shutil, "which", lambda name: name if name == program else None
    )
    assert command in refusal()
    assert "apt-get" not in refusal()


def test_unknown_distribution_gets_all_commands(bare, monkeypatch):
    monkeypatch.setattr(requirements.shutil, "which", lambda _: None)
    for program in ("apt-get", "dnf", "pacman"):
        assert program in refusal()


def test_root_needs_no_sudo(bare, monkeypatch):
    monkeypatch.setattr(requirements.os, "geteuid", lambda: 0)
    assert "sudo" not in refusal()


def test_python_without_shared_libpython_is_refused_with_what_helps(bare, monkeypatch):
    monkeypatch.setattr(requirements.sys, "base_prefix", "/home/u/.pyenv/versions/3.11.7")
    text = refusal()
    assert "PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install --force" in text
    assert "libpython3-dev" not in text
    monkeypatch.setattr(requirements.sys, "base_prefix", "/opt/python")
    assert "--enable-shared" in refusal()


def test_this_system_lacks_nothing():
    assert requirements.missing_requirements() == []
    requirements.check_requirements()


def test_shim_sources_are_all_but_the_agent_side():
    names = {path.name for path in build_shim.sources()}
    assert "handler.c" in names
    assert not names & {
        "reader.c",
        "reader_control.c",
        "elf_file.c",
        "symbolizer_dwarf.c",
        "embedding.c",
    }


@pytest.fixture
def source(tmp_path):
    (tmp_path / "number.h").write_text("#define NUMBER 1\n")
    file = tmp_path / "with space" / "number.c"
    file.parent.mkdir()
    file.write_text(
        '#include "../number.h"\nint number (void);\nint number (void) { return NUMBER; }\n'
    )
    return file


def compiled(source, *flags):
    """The object that a build of its own asks for, and when it was made."""
    tools = build_shim.Toolchain(source.parents[1] / "objects")
    (target,) = tools.compile([source], flags=flags)
    return target, target.stat().st_mtime_ns


def test_what_has_not_changed_is_not_compiled_again(source):
    assert compiled(source) == compiled(source)


@pytest.mark.parametrize("name", ["number.h", "with space/number.c"])
def test_what_has_changed_is_compiled_again(source, name):
    first, made = compiled(source)
    bytes_before = first.read_bytes()
    changed = source.parents[1] / name
    changed.write_text(
        changed.read_text().replace("1", "2").replace("return NUMBER", "return -NUMBER")
    )
    again, made_again = compiled(source)
    assert again == first
    assert made_again > made
    assert again.read_bytes() != bytes_before


def test_a_header_that_is_gone_is_missed(source):
    compiled(source)
    (source.parents[1] / "number.h").unlink()
    with pytest.raises(BuildError, match=r"number\.c"):
        compiled(source)


def test_other_flags_make_another_object(source):
    assert compiled(source)[0] != compiled(source, "-DOTHER")[0]


def test_the_commands_are_those_that_clangd_reads(source, tmp_path):
    tools = build_shim.Toolchain(tmp_path / "objects")
    tools.compile([source], flags=["-DOTHER"])
    tools.write_commands(tmp_path / "compile_commands.json")
    (entry,) = json.loads((tmp_path / "compile_commands.json").read_text())
    assert entry["file"] == str(source)
    assert "-DOTHER" in entry["arguments"]
    subprocess.run(entry["arguments"], cwd=entry["directory"], check=True)


def test_a_source_tree_that_cannot_be_written_to_is_built_elsewhere(monkeypatch, tmp_path):
    monkeypatch.setattr(build_shim, "OBJECTS", tmp_path / "file" / "objects")
    (tmp_path / "file").touch()
    with build_shim._objects() as folder:
        assert folder.is_dir()
    assert not folder.exists()
