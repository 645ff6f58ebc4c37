# SPDX-License-Identifier: MIT
"""The spool on disk: bounded, shared, private, and harmless when the disk is not.

Context: tests.
"""

from __future__ import annotations

import multiprocessing
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gst_pyro_shim.push.spool import Spool
from gst_pyro_shim.push.spool_files import SpoolError
from tests.support.pprof_writer import SECOND_NS

SERVER = "http://localhost:4040 "


@pytest.fixture
def spool(tmp_path):
    return Spool(str(tmp_path / "a" / "spool"), SERVER)


def put(spool, body, start_ns):
    """Writes a profile and releases it; returns the entry, and how many were evicted for it."""
    claim, evicted = spool.add(body, start_ns)
    return spool.release(claim, unconfirmed=False, errors=0), evicted


def now(minutes_ago=0.0):
    return time.time_ns() - int(minutes_ago * 60 * SECOND_NS)


def files(spool):
    return sorted(Path(spool.path).iterdir())


def test_what_goes_in_comes_out_oldest_first(spool):
    for age in (3, 1, 2):
        put(spool, b"%d" % age, now(age))
    claims = [spool.claim(entry) for entry in spool.entries()]
    assert [claim.body for claim in claims] == [b"3", b"2", b"1"]
    for claim in claims:
        spool.remove(claim)
    assert not files(spool)


def test_directories_and_files_are_private(tmp_path):
    old = os.umask(0)
    try:
        spool = Spool(str(tmp_path / "x" / "spool"), SERVER)
        put(spool, b"body", now())
    finally:
        os.umask(old)
    assert stat.S_IMODE(Path(spool.path).stat().st_mode) == 0o700
    assert [stat.S_IMODE(file.stat().st_mode) for file in files(spool)] == [0o600]


def test_a_directory_that_was_open_to_others_is_closed(tmp_path):
    first = Spool(str(tmp_path), SERVER)
    Path(first.path).chmod(0o777)
    Spool(str(tmp_path), SERVER)
    assert stat.S_IMODE(Path(first.path).stat().st_mode) == 0o700


def test_a_symbolic_link_is_not_followed(tmp_path):
    spool = Spool(str(tmp_path / "spool"), SERVER)
    Path(spool.path).rmdir()
    Path(spool.path).symlink_to(tmp_path)
    with pytest.raises(SpoolError):
        Spool(str(tmp_path / "spool"), SERVER)


def test_the_directory_of_another_user_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(SpoolError, match="belongs to another user"):
        Spool(str(tmp_path), SERVER)


def test_servers_and_tenants_do_not_share(tmp_path):
    names = (SERVER, "http://localhost:4041 ", "https://localhost:4040 ", SERVER + "team")
    spools = [Spool(str(tmp_path), name) for name in names]
    assert len({spool.path for spool in spools}) == 4
    spools[0].add(b"body", now())
    assert [len(spool.entries()) for spool in spools] == [1, 0, 0, 0]


def test_a_file_of_another_server_is_not_delivered_wherever_it_lies(tmp_path):
    mine, other = Spool(str(tmp_path), SERVER), Spool(str(tmp_path), "http://other:4040 ")
    entry, _ = put(other, b"body", now())
    (Path(other.path) / entry.name).rename(Path(mine.path) / entry.name)
    with pytest.raises(ValueError, match="not written for this server"):
        mine.claim(mine.entries()[0])
    assert not files(mine)


def test_a_server_with_a_long_name_has_a_directory_too(tmp_path):
    spool = Spool(str(tmp_path), "https://" + "x" * 500 + "/ä ")
    put(spool, b"body", now())
    assert len(spool.entries()) == 1


def test_the_oldest_make_room(tmp_path):
    spool = Spool(str(tmp_path), SERVER, max_bytes=3000)
    evicted = [put(spool, b"x" * 900, now(10 - age))[1] for age in range(5)]
    assert sum(evicted) == 2
    assert [entry.key.split("-")[1] for entry in spool.entries()] == ["3", "4", "5"]
    assert sum(file.stat().st_size for file in files(spool)) <= 3000


def test_a_profile_larger_than_the_spool_is_refused_and_evicts_none(tmp_path):
    spool = Spool(str(tmp_path), SERVER, max_bytes=3000)
    put(spool, b"x", now())
    with pytest.raises(SpoolError, match="larger than the spool"):
        put(spool, b"x" * 3000, now())
    assert len(spool.entries()) == 1


def test_a_claimed_profile_is_not_evicted(tmp_path):
    spool = Spool(str(tmp_path), SERVER, max_bytes=2000)
    entry, _ = put(spool, b"x" * 1000, now())
    claim = spool.claim(entry)
    with pytest.raises(SpoolError):
        put(spool, b"x" * 1000, now())
    spool.release(claim, unconfirmed=False, errors=0)
    put(spool, b"x" * 1000, now())


def test_a_new_file_is_claimed_until_it_is_released(spool):
    claim, _ = spool.add(b"body", now())
    twin = Spool(str(Path(spool.path).parent), SERVER)
    assert twin.claim(claim.entry) is None
    spool.release(claim, unconfirmed=False, errors=0)
    assert twin.claim(claim.entry).body == b"body"


def test_a_claim_excludes_others_until_it_is_released(spool):
    entry, _ = put(spool, b"body", now())
    twin = Spool(str(Path(spool.path).parent), SERVER)
    claim = spool.claim(entry)
    assert twin.claim(entry) is None
    after = spool.release(claim, unconfirmed=True, errors=2)
    assert twin.claim(entry) is None
    assert (after.unconfirmed, after.errors, after.key) == (True, 2, entry.key)
    assert twin.entries() == [after]
    assert twin.claim(after).body == b"body"


def test_a_released_file_is_unlocked_though_a_forked_child_has_its_descriptor(spool):
    claim, _ = spool.add(b"body", now())
    childs = os.dup(claim.lock)  # the copy that fork() gives to the child
    entry = spool.release(claim, unconfirmed=False, errors=0)
    again = spool.claim(entry)
    os.close(childs)
    assert again is not None
    spool.remove(again)


def test_a_host_that_closes_our_descriptors_does_no_harm(spool):
    for _ in range(2):
        claim, _ = spool.add(b"body", now())
        os.close(claim.lock)
        entry = spool.release(claim, unconfirmed=True, errors=1)
    claim = spool.claim(entry)
    os.close(claim.lock)
    spool.remove(claim)
    assert len(files(spool)) == 1


def test_a_claim_ends_with_its_process(spool):
    entry, _ = put(spool, b"body", now())
    code = (
        "import sys, os; from gst_pyro_shim.push.spool import Spool;"
        "s = Spool(sys.argv[1], sys.argv[2]);"
        "assert s.claim(s.entries()[0]); os.kill(os.getpid(), 9)"
    )
    root = str(Path(spool.path).parent)
    done = subprocess.run([sys.executable, "-c", code, root, SERVER], check=False, timeout=60)
    assert done.returncode == -9
    assert spool.claim(entry).body == b"body"


@pytest.mark.parametrize("how", ["cut", "flipped", "empty", "foreign"])
def test_a_damaged_file_is_reported_and_removed(how, spool):
    put(spool, b"body of some length", now())
    (file,) = files(spool)
    data = file.read_bytes()
    if how == "cut":
        file.write_bytes(data[:-3])
    elif how == "flipped":
        file.write_bytes(data[:-1] + b"!")
    elif how == "empty":
        file.write_bytes(b"")
    else:
        file.write_bytes(b"gst-pyro-spool 2\n" + data)
    with pytest.raises(ValueError, match=r"damaged|not written"):
        spool.claim(spool.entries()[0])
    assert not files(spool)


def test_foreign_files_are_left_alone(spool):
    stranger = Path(spool.path) / "notes.txt"
    stranger.write_text("mine")
    assert spool.entries() == []
    assert spool.sweep() == (0, 0)
    assert stranger.exists()


def test_sweep_removes_old_profiles_of_all_servers_and_half_written_files(spool):
    other = Spool(str(Path(spool.path).parent), "http://elsewhere:4040 ")
    put(spool, b"young", now(54))
    old, _ = put(other, b"old", now(56))
    os.utime(Path(other.path) / old.name, ns=(now(56), now(56)))
    half = Path(other.path) / ".123-4.part"
    half.write_bytes(b"half")
    tried = Path(other.path) / ".123-0.1.part"  # empty: no profile was lost with it
    tried.write_bytes(b"")
    for file in (half, tried):
        os.utime(file, (0, 0))
    assert spool.sweep() == (1, 1)
    assert not files(other)
    assert len(files(spool)) == 1


def test_a_full_disk_is_an_error_and_leaves_no_half(spool, monkeypatch):
    def full(*arguments, **keywords):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(SpoolError, match="No space left on device"):
        put(spool, b"body", now())
    assert not files(spool)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_really_full_disk(tmp_path):
    code = (
        "import os, sys, ctypes, time; from gst_pyro_shim.push.spool import *;"
        "libc = ctypes.CDLL(None, use_errno=True);"
        "ok = libc.unshare(0x20000) == 0 and libc.mount(b'none', b'/', None, 0x44000, None) == 0"
        " and libc.mount(b'x', sys.argv[1].encode(), b'tmpfs', 0, b'size=64k') == 0\n"
        "if not ok: sys.exit(77)\n"
        "s = Spool(sys.argv[1], 'http://x ')\n"
        "try:\n"
        "  for n in range(20): s.add(b'x' * 10000, time.time_ns())\n"
        "except SpoolError as error: print(error)\n"
        "print(len(s.entries()), [f for f in os.listdir(s.path) if 'part' in f])\n"
        "assert len(s.entries()) > 0\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip("no mounts here")
    lines = done.stdout.splitlines()
    assert "No space left on device" in lines[0], done
    assert lines[1].endswith(" []")
    assert int(lines[1].split()[0]) > 0


def test_a_directory_that_vanishes_is_an_error(spool):
    Path(spool.path).rmdir()
    assert spool.entries() == []
    with pytest.raises(SpoolError):
        put(spool, b"body", now())


def _deliver_all(root, taken):
    spool = Spool(root, SERVER)
    while entries := spool.entries():
        for entry in entries:
            claim = spool.claim(entry)
            if claim is not None:
                taken.put(claim.body)
                spool.remove(claim)


def test_processes_that_share_it_deliver_each_profile_once(spool):
    bodies = {b"%d" % each for each in range(200)}
    for body in bodies:
        put(spool, body, now())
    context = multiprocessing.get_context("spawn")
    taken = context.Queue()
    root = str(Path(spool.path).parent)
    workers = [context.Process(target=_deliver_all, args=(root, taken)) for _ in range(3)]
    for worker in workers:
        worker.start()
    got = [taken.get(timeout=60) for _ in bodies]
    for worker in workers:
        worker.join(60)
    taken.close()
    assert set(got) == bodies
    assert not files(spool)
