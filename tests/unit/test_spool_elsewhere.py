# SPDX-License-Identifier: MIT
"""The spool on file systems that are no local disk: NFS, CIFS, FUSE, vfat, those without locks, full ones.

What such a file system does is imitated at the call that differs; tests/fault/test_disks.py does so for whole programs.

Context: tests.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading
import time
from pathlib import Path

import pytest

from gst_pyro_shim.push import spool as spool_module, spools
from gst_pyro_shim.push.exporter import Exporter
from gst_pyro_shim.push.push_job import PushJob
from gst_pyro_shim.push.spool import Spool
from gst_pyro_shim.push.spool_entry import MAX_AGE_S
from gst_pyro_shim.push.spool_files import SpoolError
from gst_pyro_shim.settings.model import Settings
from tests.support.exporting import Log, dropped, spooled_files, submit
from tests.support.pyroscope_server import Fault, PyroscopeServer
from tests.support.waiting import wait_for

SERVER = "http://localhost:4040 "
REFUSALS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


def error(number):
    return OSError(number, os.strerror(number))


def put(spool, body):
    claim, _ = spool.add(body, time.time_ns())
    return spool.release(claim, unconfirmed=False, errors=0)


def names(spool):
    return sorted(file.name for file in Path(spool.path).iterdir())


@pytest.fixture
def root(tmp_path):
    return str(tmp_path / "spool")


@pytest.fixture
def nfs(monkeypatch):
    """NFS and CIFS: an exclusive lock is a write lock on the server, so it needs a writable descriptor."""
    flock = fcntl.flock

    def checked(fd, operation):
        flags = fcntl.fcntl(fd, fcntl.F_GETFL)
        if operation & fcntl.LOCK_EX and flags & os.O_ACCMODE == os.O_RDONLY:
            raise error(errno.EBADF)
        flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", checked)


@pytest.mark.usefixtures("nfs")
def test_a_spool_on_nfs_is_delivered(root):
    for body in (b"first", b"second"):
        put(Spool(root, SERVER), body)
    other = Spool(root, SERVER)
    claims = [other.claim(entry) for entry in other.entries()]
    assert [claim.body for claim in claims] == [b"first", b"second"]
    for claim in claims:
        other.remove(claim)
    assert names(other) == []


@pytest.mark.usefixtures("nfs")
def test_on_nfs_the_oldest_make_room_too(root):
    spool = Spool(root, SERVER, max_bytes=2000)
    put(spool, b"x" * 1000)
    put(spool, b"y" * 1000)
    (entry,) = spool.entries()
    assert spool.claim(entry).body == b"y" * 1000


@pytest.mark.parametrize("number", REFUSALS)
def test_a_file_system_without_locks_is_refused_with_its_reason(number, root, monkeypatch):
    def refuse(fd, operation):
        if operation != fcntl.LOCK_UN:
            raise error(number)

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(SpoolError, match=os.strerror(number)):
        Spool(root, SERVER)
    monkeypatch.undo()
    assert names(Spool(root, SERVER)) == []


def test_locks_that_exclude_nobody_are_refused(root, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", lambda fd, operation: None)
    with pytest.raises(SpoolError, match="locks exclude nobody"):
        Spool(root, SERVER)


def test_inode_numbers_that_change_are_refused(root, monkeypatch):
    lstat = Path.lstat

    def another(path):
        status = list(lstat(path))
        status[1] += 1
        return os.stat_result(status)

    monkeypatch.setattr(Path, "lstat", another)
    with pytest.raises(SpoolError, match="inode numbers change"):
        Spool(root, SERVER)


def test_a_folder_that_cannot_be_made_private_is_refused(root, monkeypatch):
    Path(Spool(root, SERVER).path).chmod(0o755)

    def refuse(path, mode):
        raise error(errno.EPERM)

    monkeypatch.setattr(Path, "chmod", refuse)
    with pytest.raises(SpoolError, match="cannot be closed to other users"):
        Spool(root, SERVER)


def test_an_error_at_close_means_that_the_profile_is_not_written(root, monkeypatch):
    spool = Spool(root, SERVER)
    close = os.close

    def full(fd):
        close(fd)
        raise error(errno.EDQUOT)

    monkeypatch.setattr(os, "close", full)
    with pytest.raises(SpoolError, match=os.strerror(errno.EDQUOT)):
        spool.add(b"body", time.time_ns())
    monkeypatch.undo()
    assert names(spool) == []


def test_a_file_that_cannot_be_read_now_is_read_later(root, monkeypatch):
    spool = Spool(root, SERVER)
    entry = put(spool, b"body")

    def stale(*arguments, **keywords):
        raise error(errno.ESTALE)

    monkeypatch.setattr(spool_module, "open", stale, raising=False)
    assert spool.claim(entry) is None
    monkeypatch.undo()
    assert spool.claim(entry).body == b"body"


@pytest.mark.parametrize("end", ["delivered", "put back"])
def test_a_rename_by_another_host_that_is_seen_late(end, root, monkeypatch):
    """This host has looked the former name up before, so that name still leads to the file."""
    one, other = Spool(root, SERVER), Spool(root, SERVER)
    seen = put(one, b"body")
    now = one.release(one.claim(seen), unconfirmed=False, errors=1)
    at = other._at
    monkeypatch.setattr(other, "_at", lambda name: at(now.name if name == seen.name else name))
    claim = other.claim(seen)
    assert claim.body == b"body"
    monkeypatch.undo()
    if end == "delivered":
        other.remove(claim)
        assert names(one) == []
    else:
        after = other.release(claim, unconfirmed=True, errors=2)
        assert names(one) == [after.name]
        assert one.claim(after).body == b"body"


def test_files_that_nfs_kept_for_a_crashed_host_are_removed(root):
    spool = Spool(root, SERVER)
    left, young = Path(spool.path, ".nfs000a4b"), Path(spool.path, ".nfs000a4c")
    for file in (left, young):
        file.write_bytes(b"body")
    os.utime(left, (0, 0))
    assert spool.sweep() == (0, 0)
    assert names(spool) == [young.name]


@pytest.mark.usefixtures("nfs")
def test_a_crashed_hosts_lock_delays_one_profile_alone_until_it_is_too_old(root):
    """The file server releases such a lock late, or never."""
    crashed, other = Spool(root, SERVER), Spool(root, SERVER)
    claim = crashed.claim(put(crashed, b"held"))
    put(crashed, b"free")
    claims = [other.claim(entry) for entry in other.entries()]
    assert [one and one.body for one in claims] == [None, b"free"]
    other.remove(claims[1])
    old = time.time() - MAX_AGE_S - 60
    os.utime(Path(other.path, claim.entry.name), (old, old))
    assert other.sweep() == (1, 0)
    assert names(other) == []


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_host_with_a_wrong_clock_removes_no_profile_of_others(hours, root, monkeypatch):
    right = Spool(root, SERVER)
    put(right, b"young")
    true = time.time
    monkeypatch.setattr(time, "time", lambda: true() + hours * 3600)
    wrong = Spool(root, SERVER)
    assert wrong.sweep() == (0, 0)
    job = PushJob.of_claim(wrong.claim(wrong.entries()[0]))
    assert abs(job.age_s) < 600 < MAX_AGE_S
    wrong.remove(job.claim)


def test_age_is_counted_by_the_file_systems_clock(root):
    spool = Spool(root, SERVER)
    claim, _ = spool.add(b"body", time.time_ns() + 3600 * 10**9)
    old = time.time() - MAX_AGE_S - 60
    os.utime(Path(spool.path, claim.entry.name), (old, old))
    spool.release(claim, unconfirmed=False, errors=0)
    assert spool.sweep() == (1, 0)
    assert names(spool) == []


def test_a_home_that_does_not_answer_delays_no_push(root, monkeypatch):
    """A hard mount whose server is away: each call waits for ever."""
    goes_on = threading.Event()
    monkeypatch.setattr(Spool, "__init__", lambda *_: goes_on.wait())
    with PyroscopeServer() as server:
        exporting = Exporter(Settings(server_url=server.url, spool_dir=root), Log())
        submit(exporting)
        exporting.close(30.0)
        assert exporting.counters["pushed_profiles"] == 1
    goes_on.set()


def test_a_spool_that_could_not_be_opened_is_tried_again(root, monkeypatch):
    log = Log()
    with PyroscopeServer() as server:
        server.always = Fault(status=503)
        monkeypatch.setattr(spools, "SPOOL_REST_S", 0.05)
        monkeypatch.setenv("TMPDIR", "/proc/nowhere")
        settings = Settings(server_url=server.url, spool_dir=f"{root}/deeper")
        Path(root).write_text("in the way", "utf-8")
        exporting = Exporter(settings, log)
        submit(exporting)
        wait_for(lambda: log.at("warning"))
        Path(root).unlink()
        wait_for(lambda: spooled_files(settings))
        exporting.close(30.0)
        assert dropped(exporting) == {}


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """The spool's folder in the temporary folder."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return Path(spools.spare_folder())


@pytest.mark.parametrize("how", ["no locks", "full"])
def test_profiles_that_the_folder_does_not_take_wait_in_the_temporary_one(
    how, root, elsewhere, monkeypatch
):
    flock, write = fcntl.flock, os.write

    def at_home(fd):
        return Path(f"/proc/self/fd/{fd}").readlink().is_relative_to(root)

    def no_locks(fd, operation):
        if at_home(fd):
            raise error(errno.ENOLCK)
        flock(fd, operation)

    def full(fd, data):
        if at_home(fd):
            raise error(errno.ENOSPC)
        return write(fd, data)

    if how == "full":
        monkeypatch.setattr(os, "write", full)
    else:
        monkeypatch.setattr(fcntl, "flock", no_locks)
    log = Log()
    with PyroscopeServer() as server:
        settings = Settings(server_url=server.url, spool_dir=root)
        server.always = Fault(status=503)
        first = Exporter(settings, log)
        submit(first, 3)
        first.close(30.0)
        assert len(list(elsewhere.rglob("*.push"))) == first.counters["spooled"] == 3
        assert dropped(first) == {}
        assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o700
        (said,) = [text for text in log.at("warning") if text.startswith("the spool takes no")]
        reason = "No locks available" if how == "no locks" else "No space left on device"
        assert f": {reason}; they wait in {elsewhere}/" in said
        server.always = None
        # The own folder may work again by then: what waits in the temporary one is delivered all the same.
        monkeypatch.undo()
        monkeypatch.setenv("TMPDIR", str(elsewhere.parent))
        second = Exporter(settings, Log())
        wait_for(lambda: second.counters["pushed_profiles"] == 3)
        second.close(30.0)
    assert not list(elsewhere.rglob("*.push"))


def test_a_temporary_folder_made_by_another_user_is_not_used(root, elsewhere):
    Path(root).write_text("in the way", "utf-8")
    elsewhere.symlink_to(elsewhere.parent)
    with PyroscopeServer() as server:
        server.always = Fault(status=503)
        exporting = Exporter(Settings(server_url=server.url, spool_dir=root), Log())
        submit(exporting)
        exporting.close(30.0)
        assert dropped(exporting) == {"dropped_not_delivered": 1}


def test_the_temporary_folder_is_not_used_while_the_spool_works(root, elsewhere):
    elsewhere.mkdir(mode=0o700)  # another server's may be there
    with PyroscopeServer() as server:
        server.always = Fault(status=503)
        exporting = Exporter(Settings(server_url=server.url, spool_dir=root), Log())
        submit(exporting)
        exporting.close(30.0)
    assert list(elsewhere.iterdir()) == []
