# SPDX-License-Identifier: MIT
"""The spool's system calls: private folders, locks, writes.

The folder may be on a network file system, and shared by hosts:
- NFS and CIFS grant an exclusive lock to a writable descriptor only.
- They may report at close() that the server could not store what was written.
- Another host's rename may be seen late: the former name still leads to the file.

Context: agent (the exporter's threads). All calls may block on the disk.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_OPEN: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_LOCK: Final = fcntl.LOCK_EX | fcntl.LOCK_NB


class SpoolError(Exception):
    """The spool cannot be used, or did not take a profile; the text says why."""


def make_private(path: Path) -> None:
    """Makes a folder that only its owner can enter, or closes an existing one to others.

    Raises:
        SpoolError: the folder is another user's, or others can still enter it.
        OSError: it cannot be made, or is not a folder.
    """
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    # No descriptor is kept: a host that closes all descriptors it does not know would close it, and reuse its number.
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if status.st_uid != os.geteuid():
        raise SpoolError(f"{path} belongs to another user")
    with contextlib.suppress(OSError):
        path.chmod(0o700)
    if path.lstat().st_mode & 0o077:
        raise SpoolError(f"{path} cannot be closed to other users on its file system")


def try_out(folder: Path, first: str, second: str) -> float:
    """Locks and renames an empty file in a folder, as the spool will do with each profile.

    Args:
        folder: of the spool.
        first: name of the file.
        second: its name after the rename.

    Returns:
        How far the file system's clock is ahead of this host's, in seconds.

    Raises:
        SpoolError: locks do not exclude others, or a file's inode number changes.
        OSError: a call fails.
    """
    made, renamed = folder / first, folder / second
    lock = write_locked(made, b"")
    try:
        rival = os.open(made, _OPEN)
        try:
            with contextlib.suppress(OSError):
                fcntl.flock(rival, _LOCK)
                raise SpoolError(f"{folder}: locks exclude nobody on its file system")
        finally:
            os.close(rival)
        made.rename(renamed)
        status = os.fstat(lock)
        if status.st_ino != renamed.lstat().st_ino:
            raise SpoolError(f"{folder}: inode numbers change on its file system")
        return status.st_mtime - time.time()
    finally:
        for path in (made, renamed):
            with contextlib.suppress(OSError):
                path.unlink()
        unlock(lock)


def write_locked(path: Path, data: bytes) -> int:
    """Writes a new file, and locks it before it has a name under which others look for it.

    Returns:
        Its descriptor, locked.

    Raises:
        OSError: the file could not be written as a whole, and has been removed.
    """
    lock = os.open(path, _OPEN | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(lock, _LOCK)
        view = memoryview(data)
        while view:
            view = view[os.write(lock, view) :]
        # No fsync: a crash of the process loses nothing, and the crc reveals what a power cut damaged. But on a network
        # file system only a close() sends what was written, waits for the server, and reports that it has no room.
        os.close(os.dup(lock))
    except OSError:
        with contextlib.suppress(OSError):
            path.unlink()
        unlock(lock)
        raise
    return lock


def lock_file(path: Path) -> int | None:
    """A locked descriptor of the file of this name; None where another holds its lock, or it is gone."""
    try:
        lock = os.open(path, _OPEN)
    except OSError:
        return None
    try:
        fcntl.flock(lock, _LOCK)
        # Between open and flock the file's holder may have removed or renamed it.
        if os.fstat(lock).st_ino == path.lstat().st_ino:
            return lock
    except OSError:
        pass
    unlock(lock)
    return None


def unlock(lock: int) -> None:
    """Releases a lock, and closes its descriptor.

    To close the descriptor is not enough: a child that the host has forked meanwhile has a copy, and while the child
    lives the copy would keep the lock.
    """
    # A host that closes all descriptors it does not know has closed this one already.
    with contextlib.suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_UN)
        os.close(lock)
