# SPDX-License-Identifier: MIT
"""Files of the spool, and what they need of their file system: private folders, locks, renames.

The folder may lie on a network file system, and be shared by hosts:
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
    """The spool cannot be used, or could not take a profile; the text says why."""


def make_private(path: Path) -> None:
    """Makes a folder that its owner alone can enter, or sees that it is one.

    Raises:
        SpoolError: it is another user's, or stays open to others.
        OSError: it cannot be made, or is none.
    """
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    # No descriptor is kept: hosts that close all they do not know would close it, and open another there.
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
    """Does once, with an empty file of these names, what a spool does with each profile.

    Returns:
        How far the file system's clock is ahead of this host's, in seconds.

    Raises:
        SpoolError: locks do not keep others out, or files do not keep their numbers.
        OSError: something is refused.
    """
    made, renamed = folder / first, folder / second
    lock = write_locked(made, b"")
    try:
        rival = os.open(made, _OPEN)
        try:
            with contextlib.suppress(OSError):
                fcntl.flock(rival, _LOCK)
                raise SpoolError(f"{folder}: locks keep nobody out on its file system")
        finally:
            os.close(rival)
        made.rename(renamed)
        status = os.fstat(lock)
        if status.st_ino != renamed.lstat().st_ino:
            raise SpoolError(f"{folder}: its file system gives a file several numbers")
        return status.st_mtime - time.time()
    finally:
        for path in (made, renamed):
            with contextlib.suppress(OSError):
                path.unlink()
        unlock(lock)


def write_locked(path: Path, data: bytes) -> int:
    """The descriptor of a new file, locked before anybody can see it under its final name.

    Raises:
        OSError: it cannot be written as a whole; then there is none.
    """
    lock = os.open(path, _OPEN | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(lock, _LOCK)
        view = memoryview(data)
        while view:
            view = view[os.write(lock, view) :]
        # Not synced: a crash of the process loses nothing, and what a power cut halves is known by its crc. But where a
        # server keeps the file, only a close() sends what was written, waits, and says that there is no room.
        os.close(os.dup(lock))
    except OSError:
        with contextlib.suppress(OSError):
            path.unlink()
        unlock(lock)
        raise
    return lock


def lock_file(path: Path) -> int | None:
    """A locked descriptor of the file that has this name; None where somebody else holds it or it is gone."""
    try:
        lock = os.open(path, _OPEN)
    except OSError:
        return None
    try:
        fcntl.flock(lock, _LOCK)
        # Between open and flock its holder may have removed or renamed it.
        if os.fstat(lock).st_ino == path.lstat().st_ino:
            return lock
    except OSError:
        pass
    unlock(lock)
    return None


def unlock(lock: int) -> None:
    """Not by closing alone: a child that the host has forked meanwhile holds what is locked as long as it lives."""
    # A host that closes all it does not know has closed it already.
    with contextlib.suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_UN)
        os.close(lock)
