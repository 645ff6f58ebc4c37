# SPDX-License-Identifier: MIT
"""build_requirements.py: what is missing is named with the command that installs it.

Context: test.
"""

import pytest

import build_requirements
import build_shim
from gst_pyro_shim import paths
from gst_pyro_shim.errors import BuildError


@pytest.fixture
def bare(monkeypatch):
    """A system with apt-get, as a user, that has nothing else."""
    monkeypatch.setattr(
        build_requirements.shutil, "which", lambda name: name if name == "apt-get" else None
    )
    monkeypatch.setattr(build_requirements, "pkg_config", lambda *_: None)
    monkeypatch.setattr(build_requirements.sysconfig, "get_path", lambda _: "/nowhere")
    monkeypatch.setattr(paths, "libpython_path", lambda: None)
    monkeypatch.setattr(build_requirements.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(build_requirements.sys, "base_prefix", "/usr")


def refusal() -> str:
    with pytest.raises(BuildError) as raised:
        build_requirements.check_requirements()
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
        build_requirements.shutil, "which", lambda name: name if name == program else None
    )
    assert command in refusal()
    assert "apt-get" not in refusal()


def test_unknown_distribution_gets_all_commands(bare, monkeypatch):
    monkeypatch.setattr(build_requirements.shutil, "which", lambda _: None)
    for program in ("apt-get", "dnf", "pacman"):
        assert program in refusal()


def test_root_needs_no_sudo(bare, monkeypatch):
    monkeypatch.setattr(build_requirements.os, "geteuid", lambda: 0)
    assert "sudo" not in refusal()


def test_python_without_shared_libpython_is_refused_with_what_helps(bare, monkeypatch):
    monkeypatch.setattr(build_requirements.sys, "base_prefix", "/home/u/.pyenv/versions/3.11.7")
    text = refusal()
    assert "PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install --force" in text
    assert "libpython3-dev" not in text
    monkeypatch.setattr(build_requirements.sys, "base_prefix", "/opt/python")
    assert "--enable-shared" in refusal()


def test_this_system_lacks_nothing():
    assert build_requirements.missing_requirements() == []
    build_requirements.check_requirements()


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
