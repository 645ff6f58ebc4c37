# SPDX-License-Identifier: MIT
"""unique_path.py: which names a profile may get, and that none of them is taken from another file.

Context: test.
"""

import os
from itertools import islice

import pytest

from gst_pyro_shim import unique_path
from gst_pyro_shim.pprof import files


@pytest.mark.parametrize(
    ("wanted", "mark", "expected"),
    [
        ("a.pb.gz", "", ["a.pb.gz", "a.2.pb.gz", "a.3.pb.gz"]),
        ("d/a.pb.gz", "7", ["d/a.pb.gz", "d/a.7.pb.gz", "d/a.7.2.pb.gz"]),
    ],
)
def test_names_beside(wanted, mark, expected):
    assert list(islice(unique_path.names(wanted, mark), 3)) == expected


@pytest.fixture(params=["links", "no links"])
def file_system(request, monkeypatch):
    def no_links(*_, **__):
        raise PermissionError

    if request.param == "no links":
        monkeypatch.setattr(os, "link", no_links)


def test_what_is_there_stays_on_any_file_system(file_system, tmp_path):
    taken, free, dangling = (tmp_path / name for name in ("taken", "free", "dangling"))
    taken.write_bytes(b"precious")
    dangling.symlink_to("nowhere")
    for path in (taken, dangling):
        with pytest.raises(FileExistsError):
            files.write_bytes(path, b"new", force=False)
    files.write_bytes(free, b"new", force=False)
    assert taken.read_bytes() == b"precious"
    assert dangling.is_symlink()
    assert free.read_bytes() == b"new"
    assert len(list(tmp_path.iterdir())) == 3
