# SPDX-License-Identifier: MIT
"""symbols/perf_map.py: names from a file that grows, and that others may have written.

Context: test.
"""

import os

import pytest

from gst_pyro_shim.symbols import perf_map
from gst_pyro_shim.symbols.perf_map import PerfMap


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.setattr(perf_map, "_PAUSE_S", 0.0)

    def append(text):
        with (tmp_path / "perf-7.map").open("a") as file:
            file.write(text)

    return append


def test_functions_of_python_and_of_others(write, tmp_path):
    write("1000 b py::Element.do_chain:/a:b/element.py\n1010 20 LazyCompile:*f app.js:1\n")
    names = PerfMap(7, tmp_path)
    assert (names.frame(0x1000).name, names.frame(0x1000).file) == (
        "Element.do_chain",
        "/a:b/element.py",
    )
    assert names.frame(0x100A).name == "Element.do_chain"
    assert names.frame(0x100B) is None
    assert names.frame(0x102F).name == "LazyCompile:*f app.js:1"
    assert names.frame(0xFFF) is None


def test_it_grows_and_code_is_replaced(write, tmp_path):
    names = PerfMap(7, tmp_path)
    assert names.frame(0x1000) is None
    write("1000 10 one\n20")
    assert names.frame(0x1000).name == "one"
    assert names.frame(0x2000) is None
    write("00 10 two\n1000 10 three\n")
    assert names.frame(0x2000).name == "two"
    assert names.frame(0x1000).name == "three"


def test_what_is_no_map_is_passed_over(write, tmp_path):
    write("\nnonsense\n1000\n1000 zz f\n2000 10 \n3000 10 f\n")
    names = PerfMap(7, tmp_path)
    assert names.frame(0x1000) is None
    assert names.frame(0x2000) is None
    assert names.frame(0x3000).name == "f"


def test_a_strangers_file_is_not_read(write, tmp_path, monkeypatch):
    write("1000 10 f\n")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert PerfMap(7, tmp_path).frame(0x1000) is None


@pytest.mark.timeout(60)
def test_a_pipe_or_a_link_of_that_name_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "perf-7.map")
    (tmp_path / "map").write_text("1000 10 f\n", "utf-8")
    (tmp_path / "perf-8.map").symlink_to("map")
    assert PerfMap(7, tmp_path).frame(0x1000) is None
    assert PerfMap(8, tmp_path).frame(0x1000) is None
