# SPDX-License-Identifier: MIT
"""paths.py: the record, LD_PRELOAD's value, libpython.

Context: test.
"""

import ctypes
import sys
from pathlib import Path

import pytest

from gst_pyro_shim import paths
from gst_pyro_shim.errors import NotBuiltError


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package directory of its own, with all parts built."""
    (tmp_path / "plugin").mkdir()
    for name in ("plugin/libgstpyro.so", "libgstpyro-agent.so"):
        (tmp_path / name).write_bytes(b"")
    monkeypatch.setattr(paths, "package_dir", lambda: tmp_path)
    return tmp_path


def test_record_has_python_libpython_entries_and_agent(package):
    assert paths.write_record()
    python, libpython, entries, agent = (package / paths.RECORD_NAME).read_text().splitlines()
    assert python == paths.python_path()
    assert Path(libpython).is_file()
    assert entries.split(":")[0] == str(package.parent)
    assert all(Path(entry).is_absolute() for entry in entries.split(":"))
    assert agent == str(package / "libgstpyro-agent.so")


def test_record_of_a_virtual_environment_names_its_own_python(package):
    paths.write_record()
    python = (package / paths.RECORD_NAME).read_text().splitlines()[0]
    assert Path(python).parent == Path(sys.prefix) / "bin"


def test_record_is_left_alone_where_it_is_right(package):
    record = package / paths.RECORD_NAME
    paths.write_record()
    before = record.stat()
    assert paths.write_record()
    assert record.stat().st_ino == before.st_ino


def test_record_replaces_another_in_one_step(package):
    record = package / paths.RECORD_NAME
    record.write_text("old\n")
    before = record.stat().st_ino
    assert paths.write_record()
    assert record.stat().st_ino != before
    assert record.stat().st_mode & 0o777 == 0o644
    assert sorted(path.name for path in package.iterdir()) == [
        "agent-python.txt", "libgstpyro-agent.so", "plugin",
    ]  # fmt: skip


def test_unwritable_directory_is_no_error(tmp_path):
    assert not paths.write_record(tmp_path / "missing" / paths.RECORD_NAME)


def test_libpython_is_the_one_of_this_python():
    libpython = paths.libpython_path()
    assert libpython is not None
    library = ctypes.PyDLL(str(libpython))
    library.Py_GetVersion.restype = ctypes.c_char_p
    assert library.Py_GetVersion().decode().split()[0] == sys.version.split()[0]


def test_libpython_is_found_in_a_relocated_python(tmp_path, monkeypatch):
    # GIVEN a Python that names its build machine's directories, as uv's do
    name = "libpython3.11.so.1.0"
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / name).write_bytes(b"")
    values = {"INSTSONAME": name, "LIBDIR": "/install/lib"}
    monkeypatch.setattr(paths.sysconfig, "get_config_var", values.get)
    monkeypatch.setattr(paths.sys, "base_prefix", str(tmp_path))
    # WHEN, THEN
    assert paths.libpython_path() == tmp_path / "lib" / name


def test_static_python_has_no_libpython(monkeypatch, tmp_path):
    monkeypatch.setattr(paths.sysconfig, "get_config_var", {"INSTSONAME": "libpython3.11.a"}.get)
    monkeypatch.setattr(paths, "_mapped_libpython", lambda: None)
    assert paths.libpython_path() is None


def test_preload_keeps_what_is_there_and_comes_last(package):
    shim = str(package / "plugin" / "libgstpyro.so")
    assert paths.preload("") == shim
    assert paths.preload("liba.so /b.so:") == f"liba.so:/b.so:{shim}"
    assert paths.preload(f"liba.so:{shim}") == f"liba.so:{shim}"


def test_path_that_the_loader_would_split_is_refused(tmp_path, monkeypatch):
    package = tmp_path / "with blank"
    (package / "plugin").mkdir(parents=True)
    (package / "plugin" / "libgstpyro.so").write_bytes(b"")
    monkeypatch.setattr(paths, "package_dir", lambda: package)
    with pytest.raises(NotBuiltError, match="cannot be in LD_PRELOAD"):
        paths.preload("")


def test_missing_part_says_how_to_build_it(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "package_dir", lambda: tmp_path)
    with pytest.raises(NotBuiltError, match=r"libgstpyro\.so does not exist") as raised:
        paths.shim_path()
    assert "make build" in raised.value.hint


def test_the_command_that_is_shown_can_be_run(tmp_path, monkeypatch):
    python = tmp_path / "a venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setenv("PATH", "/nowhere")
    assert paths.command() == f"'{python}' -m gst_pyro_shim"
    monkeypatch.chdir(tmp_path)
    assert paths.command() == "'a venv/bin/python' -m gst_pyro_shim"
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert paths.command() == f"'{python}' -m gst_pyro_shim"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(python.parent))
    assert paths.command() == "python -m gst_pyro_shim"
