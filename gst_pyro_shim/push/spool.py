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
import os
import re
import threading
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gst_pyro_shim.push.spool_entry import Entry, sweep_directory
from gst_pyro_shim.push.spool_files import (
    SpoolError,
    lock_file,
    make_private,
    try_out,
    unlock,
    write_locked,
)

SPOOL_BYTES: Final = 64 * 1024 * 1024

_FORMAT: Final = b"gst-pyro-spool 1\n"


@dataclass(slots=True)
class Claim:
    """An entry that this process alone may deliver, until `Spool.remove`, `Spool.release` or the process's end.

    Attributes:
        entry: its name.
        body: of the push.
        lock: descriptor of its file.
        spool: that holds it.
        waited_s: how long the file has lain in the spool, by the file system's clock.
    """

    entry: Entry
    body: bytes
    lock: int
    spool: Spool
    waited_s: float = 0.0


def path_of(directory: str, identity: str) -> str:
    """The folder of one server and account."""
    readable = re.sub(r"[^A-Za-z0-9.]+", "_", identity.rsplit("//", 1)[-1]).strip("_")[:100]
    return f"{os.path.abspath(directory)}/{readable}-{zlib.crc32(identity.encode()):08x}"


class Spool:
    """The spool of one server and account.

    Attributes:
        path: for messages.
    """

    def __init__(self, directory: str, identity: str, *, max_bytes: int = SPOOL_BYTES) -> None:
        """Makes the directories where they are missing, and tries there what a spool needs. May block on the disk.

        Args:
            directory: the setting, an absolute path.
            identity: of the server and account, `Endpoint.identity`; holds no secret.
            max_bytes: of all files together. Processes that write at the same instant may exceed it by one file each.

        Raises:
            SpoolError: it cannot be used.
        """
        self._identity = identity.encode()
        self._root = os.path.abspath(directory)
        self.path = path_of(directory, identity)
        self._max_bytes = max_bytes
        # Not the pid: in containers that share a spool it is the same in all.
        self._run = int.from_bytes(os.urandom(6), "big")
        self._serial = 0
        self._mutex = threading.Lock()
        try:
            Path(self._root).mkdir(mode=0o700, parents=True, exist_ok=True)
            make_private(Path(self.path))
            # What a crash amidst this leaves is removed by `sweep`.
            names = (f".{self._run}-0.part", f".{self._run}-0.1.part")
            self._ahead_s = try_out(Path(self.path), *names)
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
            lock = write_locked(self._at(part), head + body)
            try:
                self._at(part).rename(self._at(entry.name))
            except OSError:
                with contextlib.suppress(OSError):
                    self._at(part).unlink()
                unlock(lock)
                raise
        except OSError as error:
            raise SpoolError(f"{self.path}: {error.strerror}") from error
        return Claim(entry, body, lock, self), evicted

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
        lock = lock_file(self._at(name))
        if lock is None:
            return False
        try:
            self._at(name).unlink()
        except OSError:
            return False
        finally:
            unlock(lock)
        return True

    def entries(self) -> list[Entry]:
        """All there are, whoever wrote them, oldest first; empty where the directory cannot be read."""
        try:
            names = os.listdir(self.path)  # noqa: PTH208  names are all that is wanted
        except OSError:
            return []
        found = (Entry.parse(name) for name in names)
        return sorted((entry for entry in found if entry is not None), key=lambda entry: entry.name)

    def claim(self, entry: Entry) -> Claim | None:
        """The profile, for this caller alone.

        Returns:
            None where another process or thread has it, it is gone, or it cannot be read at the moment.

        Raises:
            ValueError: it is damaged or belongs to another server; the file has been removed.
        """
        lock = lock_file(self._at(entry.name))
        if lock is None:
            return None
        try:
            with open(lock, "rb", closefd=False) as file:
                data = file.read()
                waited_s = time.time() + self._ahead_s - os.fstat(lock).st_mtime
        except OSError:
            unlock(lock)
            return None
        claim = Claim(entry, b"", lock, self, waited_s)
        try:
            claim.body = self._body(data)
        except ValueError as error:
            self.remove(claim)
            raise ValueError(f"{self.path}/{entry.name}: {error}") from None
        return claim

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
            try:
                self._at(claim.entry.name).unlink()
            except FileNotFoundError:
                self._at(self._name_now(claim.entry)).unlink()
        unlock(claim.lock)

    def _name_now(self, entry: Entry) -> str:
        """What another host has called a file meanwhile that this one has claimed under its former name."""
        names = (one.name for one in self.entries() if one.key == entry.key)
        return next(names, entry.name)

    def release(self, claim: Claim, *, unconfirmed: bool, errors: int) -> Entry:
        """Puts a claimed entry back under a name that tells what happened."""
        old = claim.entry
        entry = Entry(old.start_ns, unconfirmed, errors, old.key)
        try:
            if entry.name != old.name:
                try:
                    self._at(old.name).rename(self._at(entry.name))
                except FileNotFoundError:
                    self._at(self._name_now(old)).rename(self._at(entry.name))
        except OSError:
            entry = old
        unlock(claim.lock)
        return entry

    def wrote(self, entry: Entry) -> bool:
        """Whether the entry is this very object's."""
        return entry.key.startswith(f"{self._run}-")

    def sweep(self) -> tuple[int, int]:
        """Removes what no server takes any more, of all servers: profiles too old, and halves left by a crash.

        Returns:
            How many profiles were too old, and how many were halves.
        """
        found: list[tuple[int, int]] = []
        now_s = time.time() + self._ahead_s
        with contextlib.suppress(OSError):
            places = [
                one.path for one in os.scandir(self._root) if one.is_dir(follow_symlinks=False)
            ]
            found = [sweep_directory(path, now_s) for path in places]
        return sum(old for old, _ in found), sum(halves for _, halves in found)
