# SPDX-License-Identifier: MIT
"""push/delivery.py and push/output_file.py: where profiles go, and which modules that imports.

Context: tests, loopback alone.
"""

from __future__ import annotations

import gzip
import os
import resource
import stat
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from gst_pyro_shim.pprof import files
from gst_pyro_shim.pprof.decode import decode
from gst_pyro_shim.pprof.encode import MAX_PROFILE_BYTES
from gst_pyro_shim.pprof.merge import Merge
from gst_pyro_shim.push.delivery import Delivery
from gst_pyro_shim.push.output_file import OutputFile
from gst_pyro_shim.settings.model import Settings
from tests.support import profiles
from tests.support.pyroscope_server import PyroscopeServer


@pytest.fixture
def said():
    """Lines of the log."""
    return []


def output(path, said):
    return OutputFile(str(path), 7, lambda _, text: said.append(text))


def test_the_controller_takes_profiles_of_any_age_and_the_server_does_not(said):
    old = replace(profiles.demo(), start_ns=time.time_ns() - 3600 * 10**9)
    merge = Merge()
    with PyroscopeServer() as server:
        settings = Settings(server_url=server.url, spool_dir="")
        delivery = Delivery(settings, 7, lambda _, text: said.append(text), merge)
        delivery.deliver(old, final=True)
        delivery.close(time.monotonic() + 60, lambda: profiles.demo(program="last word"))
        assert delivery.counters["dropped_too_old"] == 1
        assert not server.requests
    assert {one.program for one in merge.stats()} == {"last word"}
    assert sum(one.cpu_ns for one in merge.profile().samples) == 2 * 3_000_000_000


def test_python_functions_are_kept_apart_in_the_controllers_sum(said):
    merge = Merge()
    Delivery(Settings(), 7, lambda _, text: said.append(text), merge).deliver_python(
        profiles.demo()
    )
    profile = merge.profile()
    assert sum(one.cpu_ns for one in profile.python) == 3_000_000_000
    assert profile.samples == []


@pytest.mark.parametrize("to", ["server", "controller", "file"])
def test_profiles_dropped_before_the_exporter_are_counted(to, said, tmp_path):
    with PyroscopeServer() as server:
        settings = Settings(
            spool_dir="",
            **{
                "server": {"server_url": server.url},
                "file": {"output": str(tmp_path / "a.pb.gz")},
            }.get(to, {}),
        )
        merge = Merge() if to == "controller" else None
        delivery = Delivery(settings, 7, lambda *line: said.append(line), merge)
        for _ in range(2):
            delivery.drop("queue_full", "because", 3)
        assert delivery.counters["dropped_queue_full"] == 6
        assert said == [("warning", "profile dropped (queue_full): because")]
        delivery.close(time.monotonic() + 60, profiles.demo)


def test_allocations_that_no_server_takes_are_counted(said):
    with PyroscopeServer() as server:
        settings = Settings(server_url=server.url, spool_dir="")
        delivery = Delivery(settings, 7, lambda _, text: said.append(text))
        delivery.deliver_memory(bytes(MAX_PROFILE_BYTES + 1))
        assert delivery.counters["dropped_too_large"] == 1
        (line,) = said
        assert line.startswith("profile dropped (too_large): 1572865 bytes of allocations; ")
        delivery.close(time.monotonic() + 60, profiles.demo)
        assert not server.requests


def test_allocations_without_a_server_are_counted(said, tmp_path):
    settings = Settings(output=str(tmp_path / "a.pb.gz"))
    delivery = Delivery(settings, 7, lambda _, text: said.append(text))
    for _ in range(2):
        delivery.deliver_memory(b"profile")
    assert delivery.counters["dropped_no_server"] == 2
    assert said == [
        "profile dropped (no_server): profiles of allocations go to a server, and none is named"
    ]


def test_the_file_is_private_and_whole_under_any_umask(tmp_path, said):
    before = os.umask(0)
    try:
        output(tmp_path / "a.pb.gz", said).add(profiles.demo(), final=True)
    finally:
        os.umask(before)
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(decode(gzip.decompress(file.read_bytes())).samples) == 4


def test_a_host_that_changes_its_folder_has_one_file(tmp_path, said, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = output("a.pb.gz", said)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    file.add(profiles.demo(), final=True)
    assert (tmp_path / "a.pb.gz").exists()


def test_no_process_overwrites_anothers_profile(tmp_path, said, monkeypatch):
    def of_a_process():
        file = output(tmp_path / "a.pb.gz", said)
        file.add(profiles.demo(), final=False)
        file.add(profiles.demo(), final=True)

    (tmp_path / "a.pb.gz").write_text("precious", "utf-8")
    of_a_process()
    assert [one.name for one in sorted(tmp_path.iterdir())] == ["a.7.pb.gz", "a.pb.gz"]
    beside = tmp_path / "a.7.pb.gz"
    (line,) = said
    assert line.startswith(
        f"{tmp_path}/a.pb.gz is there already and stays; the profile goes to {beside}. %p in the"
    )
    of_a_process()

    def no_links(*_):
        raise PermissionError

    monkeypatch.setattr(os, "link", no_links)
    of_a_process()
    (tmp_path / "a.pb.gz").unlink()
    of_a_process()
    names = ["a.7.2.pb.gz", "a.7.3.pb.gz", "a.7.pb.gz", "a.pb.gz"]
    assert sorted(one.name for one in tmp_path.iterdir()) == names
    for name in names:
        read = decode(gzip.decompress((tmp_path / name).read_bytes()))
        assert sum(one.cpu_ns for one in read.samples) == 6_000_000_000


def test_a_dangling_symbolic_link_is_not_replaced(tmp_path, said):
    (tmp_path / "a.pb.gz").symlink_to("nowhere")
    output(tmp_path / "a.pb.gz", said).add(profiles.demo(), final=True)
    assert (tmp_path / "a.pb.gz").is_symlink()
    assert (tmp_path / "a.7.pb.gz").is_file()


def test_a_symbolic_link_at_the_temporary_name_is_not_followed(tmp_path, said):
    victim = tmp_path / "victim"
    victim.write_text("precious", "utf-8")
    (tmp_path / f"a.pb.gz.{os.getpid()}.part").symlink_to(victim)
    output(tmp_path / "a.pb.gz", said).add(profiles.demo(), final=True)
    assert victim.read_text("utf-8") == "precious"
    assert not (tmp_path / "a.pb.gz").is_symlink()
    assert said == []


def test_a_full_disk_is_logged_once_and_leaves_the_last_whole_file(tmp_path, said):
    file = output(tmp_path / "a.pb.gz", said)
    file.add(profiles.demo(), final=True)
    before = (tmp_path / "a.pb.gz").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        file.add(profiles.demo(), final=True)
        file.add(profiles.demo(), final=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "a.pb.gz").read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["a.pb.gz"]
    (line,) = said
    assert line.endswith(": File too large; no other folder takes it either")
    assert file.counters == {"dropped_not_written": 1}


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def cpu_ns(file):
    return sum(one.cpu_ns for one in decode(gzip.decompress(file.read_bytes())).samples)


def test_while_the_disk_is_full_the_file_is_in_another_folder(tmp_path, said, elsewhere):
    home = tmp_path / "home"
    home.mkdir()
    file = output(home / "a.pb.gz", said)
    home.rmdir()  # as a full disk does, a missing folder takes no file
    file.add(profiles.demo(), final=False)
    (first,) = elsewhere.iterdir()
    assert said == [
        f"cannot write the profile to {home}/a.pb.gz: No such file or directory; it is in {first}"
    ]
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    assert first.name.startswith("a.")
    assert first.name.endswith(".pb.gz")
    file.add(profiles.demo(), final=True)
    assert list(elsewhere.iterdir()) == [first]
    assert cpu_ns(first) == 6_000_000_000
    assert len(said) == 1
    assert file.counters == {"written_elsewhere": 1}
    home.mkdir()
    file.add(profiles.demo(), final=True)
    assert list(elsewhere.iterdir()) == []
    assert cpu_ns(home / "a.pb.gz") == 9_000_000_000


def test_a_file_in_another_folder_is_counted(tmp_path, said, elsewhere):
    home = tmp_path / "home"
    home.mkdir()
    settings = Settings(output=str(home / "a.pb.gz"))
    delivery = Delivery(settings, 7, lambda _, text: said.append(text))
    home.rmdir()
    delivery.deliver(profiles.demo(), final=True)
    assert delivery.counters == {"written_elsewhere": 1}
    assert len(list(elsewhere.iterdir())) == 1


def test_writing_a_file_imports_nothing_of_the_network(tmp_path):
    code = (
        "import sys\n"
        "from gst_pyro_shim.settings.model import Settings\n"
        "from gst_pyro_shim.push.delivery import Delivery\n"
        "Delivery(Settings(output=sys.argv[1]), 1, print)\n"
        "print([m for m in ('exporter', 'attempt', 'http1') if f'gst_pyro_shim.push.{m}' in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.pb.gz")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_a_file_has_a_windows_python_functions_and_its_time_or_neither(said, tmp_path):
    settings = Settings(spool_dir="", output=str(tmp_path / "a.pb.gz"))
    delivery = Delivery(settings, 7, lambda _, text: said.append(text))
    whole = profiles.demo()
    for _ in range(2):  # the second is not written: too soon after the first
        delivery.deliver_python(replace(whole, comments=[]))
        delivery.deliver(whole, final=False)
        found = files.read(tmp_path / "a.pb.gz")
        told = sum(one.cpu_ns for one in found.samples)
        assert sum(one.cpu_ns for one in found.python) == told == 3 * 10**9
