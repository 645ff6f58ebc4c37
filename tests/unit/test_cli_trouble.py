# SPDX-License-Identifier: MIT
"""The command line in trouble: each ends in one message and a status, never in a traceback.

Context: tests; no GStreamer.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings, strategies as st

from gst_pyro_shim import cli, paths
from gst_pyro_shim.errors import GstPyroError
from gst_pyro_shim.pprof import files
from gst_pyro_shim.pprof.decode import decode
from gst_pyro_shim.pprof.encode import encode
from gst_pyro_shim.pprof.model import Sample, element_frame
from gst_pyro_shim.pprof.run_facts import RunFacts
from gst_pyro_shim.pprof.run_statistics import RunStats
from gst_pyro_shim.pprof.schema import PprofProfile
from gst_pyro_shim.run import environment
from gst_pyro_shim.views import flamegraph, report, report_by, summary
from tests.support import profiles

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = encode(profiles.demo())


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A profile on disk."""
    file = tmp_path / "a.pb.gz"
    files.write(file, profiles.demo(), force=False)
    return file


def main(*arguments: str, shell: str = "") -> subprocess.CompletedProcess[str]:
    """The command line in a process, with redirections of a shell."""
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {shell}', "sh", sys.executable, "-m", "gst_pyro_shim", *arguments],
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("subcommand", ["path", "env", "--help", "report", "flamegraph"])
def test_a_full_disk_under_stdout_is_one_message(subcommand: str, written: Path) -> None:
    files_of = {"report": [str(written)], "flamegraph": [str(written)]}
    done = main(subcommand, *files_of.get(subcommand, []), shell="> /dev/full")
    assert done.returncode == GstPyroError.exit_code
    assert done.stderr == "gst-pyro-shim: The system reports an error: No space left on device.\n"


@pytest.mark.parametrize("subcommand", ["report", "flamegraph"])
def test_a_closed_stdout_is_no_trouble(subcommand: str, written: Path) -> None:
    done = main(subcommand, str(written), shell=">&-")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("subcommand", ["report", "flamegraph"])
@pytest.mark.parametrize("name", [".", "/", "/dev/null", "x" * 300])
def test_what_is_no_file_is_one_message(subcommand: str, name: str, capsys) -> None:
    assert cli.main([subcommand, name]) in {3, 8}
    assert capsys.readouterr().err.count("\n") == 1


def test_a_name_that_is_no_unicode_and_moves_the_cursor(tmp_path: Path, capfd) -> None:
    hostile = os.fsdecode(b"n\xff\x1b[2Jx")
    assert cli.main(["report", hostile]) == GstPyroError.exit_code
    assert "n\\udcff\\x1b[2Jx" in capfd.readouterr().err
    files.write(tmp_path / f"{hostile}.pb.gz", profiles.demo(), force=False)
    done = main("flamegraph", str(tmp_path / f"{hostile}.pb.gz"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{tmp_path}/{hostile}.html\n"
    assert b"n\\udcff" in (tmp_path / f"{hostile}.html").read_bytes()


def test_an_output_with_too_long_a_name_is_refused_before_the_start(tmp_path, capsys) -> None:
    mark = tmp_path / "ran"
    code = cli.main(["run", "-o", f"{tmp_path}/{'x' * 300}.pb.gz", "--", "touch", str(mark)])
    assert code == GstPyroError.exit_code
    assert "File name too long" in capsys.readouterr().err
    assert not mark.exists()


def test_a_page_of_what_comes_by_a_pipe_needs_a_name(written: Path, monkeypatch) -> None:
    done = main("flamegraph", "/dev/stdin", shell=f"< {written}")
    assert done.returncode == 3
    assert "No file can be written beside /dev/stdin.\nName a file: -o" in done.stderr
    # A new name in such a folder is a file as any other.
    monkeypatch.setattr(files, "_STREAM_DIRS", (str(written.parent),))
    assert files.is_stream(written)
    assert not files.is_stream(written.with_name("b.pb.gz"))


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    file = tmp_path / ("x" * 249 + ".pb.gz")
    files.write(file, profiles.demo(), force=False)
    assert [one.name for one in tmp_path.iterdir()] == [file.name]


def test_a_user_without_a_home_has_no_registry(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os.path, "expanduser", lambda name: name)  # as where the user is unknown
    monkeypatch.chdir(tmp_path)
    with environment.Registry({}) as registry:
        assert not registry.has_tracer


def test_a_package_in_a_folder_that_is_no_unicode_has_its_record(tmp_path, monkeypatch) -> None:
    package = tmp_path / os.fsdecode(b"p\xff")
    package.mkdir()
    monkeypatch.setattr(paths, "package_dir", lambda: package)
    assert paths.write_record()
    assert os.fsencode(package) in (package / paths.RECORD_NAME).read_bytes()
    assert paths.write_record()


class Plain(io.StringIO):
    """A stream as stdout is."""

    encoding = "utf-8"


def show(data: bytes) -> None:
    """All that can be done with a profile's bytes."""
    found = decode(data)
    numbers = summary.summarize(found)
    report.render(numbers, Plain())
    for label in report_by.LABELS:
        told = report_by.group(found, label)
        assert sum(one.cpu_ns for one in told) == sum(row.self_ns for row in numbers.rows)
    json.dumps(numbers.as_json(), allow_nan=False)
    flamegraph.page(found, "x")
    encode(found)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=6))
def test_damaged_bytes_are_shown_or_refused(changes: list[tuple[int, int]]) -> None:
    data = bytearray(WHOLE)
    for at, value in changes:
        data[at] = value
    try:
        show(bytes(data))
    except GstPyroError:
        return


JSON = st.sampled_from(
    [None, -1, 0, float("nan"), float("inf"), 10**400, "x", "\udcff", [], [1], {}, {"a": 1.5}, True]
)


@settings(max_examples=300)
@given(
    st.sampled_from(
        [
            RunStats(pid=1, start_ns=1).to_comment(),
            RunFacts(program="p", end="e").to_comment(),
        ]
    ),
    st.data(),
)
def test_comments_of_any_kind_are_shown_or_passed_over(comment: str, data: st.DataObject) -> None:
    prefix, _, text = comment.partition(" ")
    said = json.loads(text)
    said[data.draw(st.sampled_from(sorted(said)))] = data.draw(JSON)
    message = PprofProfile.FromString(WHOLE)
    message.comment[:] = [len(message.string_table)]
    message.string_table.append(f"{prefix} {json.dumps(said)}")
    show(message.SerializeToString())


def test_times_that_cancel_out_are_no_division_by_zero() -> None:
    message = PprofProfile.FromString(WHOLE)
    del message.sample[2:]
    for row, ns in zip(message.sample, (5, -5), strict=True):
        row.value[0] = ns
    show(message.SerializeToString())


def test_differences_that_cancel_out_have_no_shares(tmp_path: Path, capsys) -> None:
    """As `go tool pprof -diff_base` makes them."""
    samples = [
        Sample((element_frame(f"e{i}", "identity", f"/p/e{i}"),), (-1) ** i * 10**9, 1)
        for i in range(70)
    ]
    file = tmp_path / "x.pb.gz"
    files.write(file, replace(profiles.demo(), samples=samples), force=False)
    assert cli.main(["report", str(file)]) == 0
    assert cli.main(["report", "--by", "factory", str(file)]) == 0
    said = capsys.readouterr().out
    assert "[no factory]  0.000  0.0 " in said
    assert "total         0.000  0.0" in said


def test_a_profile_as_large_as_memory_is_refused(tmp_path: Path, capsys) -> None:
    bomb = tmp_path / "bomb.pb.gz"
    with gzip.open(bomb, "wb", compresslevel=1) as file:
        for _ in range(257):
            file.write(bytes(1 << 20))
    assert cli.main(["report", str(bomb)]) == 8
    assert "more than 256 MiB" in capsys.readouterr().err
