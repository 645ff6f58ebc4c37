# SPDX-License-Identifier: MIT
"""host_python.py: which pyroscope-io it uses, and its message where there is none for this interpreter.

Context: test.
"""

import atexit
import os
import sys
from pathlib import Path

import pytest

from gst_pyro_shim.python import samples

SCRIPT = Path(samples.__file__).with_name("host_python.py")


class FakePyroscope:
    """The part of pyroscope-io that the script uses."""

    class lib:  # noqa: N801
        add_thread_tag = remove_thread_tag = staticmethod(lambda key, value: True)


@pytest.fixture
def host(monkeypatch):
    """The script's names, executed as csrc/shim/python/pyroscope_io.c does; the end of the host is called by hand."""
    names = {"__name__": "host"}
    exec(compile(SCRIPT.read_text(), str(SCRIPT), "exec"), names)
    registered = []
    monkeypatch.setattr(atexit, "register", registered.append)
    monkeypatch.setattr(atexit, "unregister", registered.remove)
    monkeypatch.delitem(sys.modules, "pyroscope", raising=False)
    names["registered"] = registered
    return names


def start(host, package="", obstacle=""):
    fd = os.eventfd(0)
    return fd, host["start"](obstacle, "http://127.0.0.1:9", "token", package, "10", "", 100, fd)


def test_a_host_that_uses_pyroscope_io_keeps_it(host, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyroscope", FakePyroscope)
    fd, found = start(host, obstacle="Not here.")
    assert found == (FakePyroscope.lib.add_thread_tag, FakePyroscope.lib.remove_thread_tag, False)
    assert host["_shutdown"] is None
    host["finish"]()
    host["registered"][0]()
    assert os.eventfd_read(fd) == 1
    os.close(fd)


def test_with_an_obstacle_nothing_is_imported(host):
    fd, said = start(host, obstacle="Not here.")
    os.close(fd)
    assert said == "Not here."
    assert "pyroscope" not in sys.modules
    assert host["registered"] == []


@pytest.mark.parametrize("files", [(), ("__init__.py",), ("__init__.py", "_native.cpython-27.so")])
def test_a_package_for_another_python_is_not_used(host, monkeypatch, tmp_path, files):
    package = tmp_path / "pyroscope"
    package.mkdir()
    for name in files:
        (package / name).write_text("raise SystemError")
    monkeypatch.setattr(sys, "path", [])
    path = list(sys.path)
    fd, said = start(host, str(package))
    os.close(fd)
    assert "-m pip install pyroscope-io` adds it. The rest of the profile goes on." in said
    assert sys.path == path
    assert "pyroscope" not in sys.modules
    assert host["registered"] == []


def test_a_file_of_that_name_is_not_run(host, monkeypatch, tmp_path):
    (tmp_path / "pyroscope.py").write_text("raise SystemExit('the host has a module of that name')")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    fd, said = start(host)
    os.close(fd)
    assert "pip install pyroscope-io" in said


def test_free_threaded_python_is_refused(host, monkeypatch):
    monkeypatch.setattr(sys, "abiflags", "t")
    fd, said = start(host)
    os.close(fd)
    assert said.startswith("pyroscope-io does not know free-threaded Python.")


def test_a_failure_is_reported_in_a_sentence(host, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyroscope", object())
    fd, said = start(host)
    os.close(fd)
    assert said.startswith("pyroscope-io could not be started (AttributeError: ")
    assert host["registered"] == []


def test_a_forked_child_does_not_wait(host, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyroscope", FakePyroscope)
    fd, _ = start(host)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    host["registered"][0]()
    os.close(fd)
