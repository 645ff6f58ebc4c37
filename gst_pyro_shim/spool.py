# SPDX-License-Identifier: MIT
"""Profiles that wait on disk for their server: bounded, oldest dropped first, shared by concurrent processes.

    <spool_dir>/<host>_<port>-<crc32>/        one directory a server and account, mode 0700
        <start_ns>-u<0|1>-e<errors>-<run>-<n>.push   one profile, mode 0600

A file holds a line with the format, one with the identity of its server, one with length and crc32 of the body, then
the body of the push as it goes on the wire: no credential is in it, and whoever delivers it needs nothing else. The
name carries what is known of it: start of the window (its age), whether it may have been stored already, and how many
errors it met. A file is claimed by flock, which ends with its holder; it is renamed and removed under that lock, but
for those that are too old for any server.

Context: agent (the exporter's threads). All calls may block on the disk.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gst_pyro_shim.spool_entry import Entry, sweep_directory

SPOOL_BYTES: Final = 64 * 1024 * 1024

_FORMAT: Final = b"gst-pyro-spool 1\n"


@dataclass(slots=True)
class Claim:
    """An entry that this process alone may deliver, until `Spool.remove`, `Spool.release` or the process's end."""

    entry: Entry
    body: bytes
    lock: int


class SpoolError(Exception):
    """The spool cannot be used, or could not take a profile; the text says why."""


class Spool:
    """The spool of one server and account.

    Attributes:
        path: for messages.
    """

    def __init__(self, directory: str, identity: str, *, max_bytes: int = SPOOL_BYTES) -> None:
        """Makes the directories where they are missing.

        Args:
            directory: the setting, an absolute path.
            identity: of the server and account, `Endpoint.identity`; holds no secret.
            max_bytes: of all files together. Processes that write at the same instant may exceed it by one file each.

        Raises:
            SpoolError: it cannot be used.
        """
        self._identity = identity.encode()
        readable = re.sub(r"[^A-Za-z0-9.]+", "_", identity.rsplit("//", 1)[-1]).strip("_")[:100]
        self._root = os.path.abspath(directory)
        self.path = f"{self._root}/{readable}-{zlib.crc32(self._identity):08x}"
        self._max_bytes = max_bytes
        # Not the pid: in containers that share a spool it is the same in all.
        self._run = int.from_bytes(os.urandom(6), "big")
        self._serial = 0
        self._mutex = threading.Lock()
        try:
            Path(self._root).mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                Path(self.path).mkdir(mode=0o700)
            # No descriptor is kept: hosts that close all they do not know would close it, and open another there.
            place = Path(self.path).lstat()
            if not stat.S_ISDIR(place.st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            if place.st_uid != os.geteuid():
                raise SpoolError(f"{self.path} belongs to another user")
            Path(self.path).chmod(0o700)
            if not os.access(self.path, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            raise SpoolError(f"{self.path}: {error.strerror}") from error

    def _at(self, name: str) -> Path:
        return Path(self.path, name)

    def add(
        self, body: bytes, start_ns: int, *, unconfirmed: bool = False, errors: int = 0
    ) -> tuple[Claim, int]:
        """Writes a profile so that it is there as a whole or not at all, and makes room for it first.

        Returns:
            The entry, claimed by the caller, and how many older ones had to go for it.

        Raises:
            SpoolError: full disk, directory gone, or a body larger than the whole spool.
        """
        head = b"%s%s\n%d %08x\n" % (_FORMAT, self._identity, len(body), zlib.crc32(body))
        with self._mutex:
            self._serial += 1
            key = f"{self._run}-{self._serial}"
        entry = Entry(start_ns, unconfirmed, errors, key)
        part = f".{key}.part"
        try:
            evicted = self._make_room(len(head) + len(body))
            try:
                lock = self._write(part, head + body)
                self._at(part).rename(self._at(entry.name))
            except OSError:
                with contextlib.suppress(OSError):
                    self._at(part).unlink()
                raise
        except OSError as error:
            raise SpoolError(f"{self.path}: {error.strerror}") from error
        return Claim(entry, body, lock), evicted

    def _write(self, name: str, data: bytes) -> int:
        """The descriptor of the new file, locked before anybody can see it under its final name."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        # Not synced: a crash of the process loses nothing, and what a power cut halves is known by its crc.
        lock = os.open(self._at(name), flags, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            view = memoryview(data)
            while view:
                view = view[os.write(lock, view) :]
        except OSError:
            _unlock(lock)
            raise
        return lock

    def _make_room(self, wanted: int) -> int:
        if wanted > self._max_bytes:
            raise SpoolError(f"{self.path}: a profile of {wanted} bytes is larger than the spool")
        sizes: list[tuple[str, int]] = []
        for entry in self.entries():
            with contextlib.suppress(OSError):
                sizes.append((entry.name, self._at(entry.name).stat().st_size))
        excess = sum(size for _, size in sizes) + wanted - self._max_bytes
        evicted = 0
        for name, size in sizes:
            if excess <= 0:
                break
            if self._remove_unclaimed(name):
                evicted += 1
                excess -= size
        if excess > 0:
            raise SpoolError(f"{self.path}: full of profiles that are being delivered")
        return evicted

    def _remove_unclaimed(self, name: str) -> bool:
        lock = self._lock(name)
        if lock is None:
            return False
        try:
            self._at(name).unlink()
        except OSError:
            return False
        finally:
            _unlock(lock)
        return True

    def entries(self) -> list[Entry]:
        """All there are, whoever wrote them, oldest first; empty where the directory cannot be read."""
        try:
            names = os.listdir(self.path)  # noqa: PTH208  names are all that is wanted
        except OSError:
            return []
        found = (Entry.parse(name) for name in names)
        return sorted((entry for entry in found if entry is not None), key=lambda entry: entry.name)

    def _lock(self, name: str) -> int | None:
        """A locked descriptor of the file that has this name; None where somebody else holds it or it is gone."""
        try:
            lock = os.open(self._at(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between open and flock its holder may have removed or renamed it.
            if os.fstat(lock).st_ino == self._at(name).lstat().st_ino:
                return lock
        except OSError:
            pass
        _unlock(lock)
        return None

    def claim(self, entry: Entry) -> Claim | None:
        """The profile, for this caller alone.

        Returns:
            None where another process or thread has it, or it is gone.

        Raises:
            ValueError: it is damaged or belongs to another server; the file has been removed.
        """
        lock = self._lock(entry.name)
        if lock is None:
            return None
        try:
            with open(lock, "rb", closefd=False) as file:
                data = file.read()
            body = self._body(data)
        except (OSError, ValueError) as error:
            with contextlib.suppress(OSError):
                self._at(entry.name).unlink()
            _unlock(lock)
            raise ValueError(f"{self.path}/{entry.name}: {error}") from None
        return Claim(entry, body, lock)

    def _body(self, data: bytes) -> bytes:
        written, _, rest = data.removeprefix(_FORMAT).partition(b"\n")
        if not data.startswith(_FORMAT) or written != self._identity:
            raise ValueError("not written for this server")
        sizes, _, body = rest.partition(b"\n")
        if sizes != b"%d %08x" % (len(body), zlib.crc32(body)):
            raise ValueError("damaged")
        return body

    def remove(self, claim: Claim) -> None:
        """Takes a claimed entry away: delivered, or given up."""
        with contextlib.suppress(OSError):
            self._at(claim.entry.name).unlink()
        _unlock(claim.lock)

    def release(self, claim: Claim, *, unconfirmed: bool, errors: int) -> Entry:
        """Puts a claimed entry back under a name that tells what happened."""
        old = claim.entry
        entry = Entry(old.start_ns, unconfirmed, errors, old.key)
        try:
            if entry.name != old.name:
                self._at(old.name).rename(self._at(entry.name))
        except OSError:
            entry = old
        _unlock(claim.lock)
        return entry

    def wrote(self, entry: Entry) -> bool:
        """Whether the entry is this very object's."""
        return entry.key.startswith(f"{self._run}-")

    def sweep(self) -> int:
        """Removes what no server takes any more, of all servers: profiles too old, and halves left by a crash.

        Returns:
            How many profiles went.
        """
        removed = 0
        with contextlib.suppress(OSError):
            for place in os.scandir(self._root):
                if place.is_dir(follow_symlinks=False):
                    removed += sweep_directory(place.path)
        return removed


def _unlock(lock: int) -> None:
    """Not by closing alone: a child that the host has forked meanwhile holds what is locked as long as it lives."""
    # A host that closes all it does not know has closed it already.
    with contextlib.suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_UN)
        os.close(lock)
