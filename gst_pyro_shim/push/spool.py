# SPDX-License-Identifier: MIT
"""Profiles that wait on disk for their server: bounded, oldest dropped first, shared by concurrent processes.

    <spool_dir>/<host>_<port>-<crc32>/        one directory for each server and account, mode 0700
        <start_ns>-u<0|1>-e<errors>-<run>-<n>.push   one profile, mode 0600

A file is three lines and the body of a push. The lines are: the format; the identity of the server; length and crc32
of the body. The body is as it goes on the wire. So a file holds no credential, and any process can deliver it.

A file's name holds the facts that change: start of the window, whether the server may have stored it already, number
of errors, and a key of its writer that stays the same.

A process claims a file by flock, which ends with the process at the latest. A file is renamed and removed by the holder
of its lock alone, except for files that are too old for any server.

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
    """A file of the spool that this process alone may deliver, until `Spool.remove`, `Spool.release` or its own end.

    Attributes:
        entry: the file's name, parsed.
        body: of the push.
        lock: descriptor of the file, locked.
        spool: the spool that the file is in.
        waited_s: how long the file has been in the spool, in seconds, by the file system's clock.
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
        """Makes missing directories, and tries out there what a spool needs. May block on the disk.

        Args:
            directory: the setting, an absolute path.
            identity: of the server and account, `Endpoint.identity`; holds no secret.
            max_bytes: of all files together. Processes that write at the same moment may exceed it by one file each.

        Raises:
            SpoolError: the spool cannot be used.
        """
        self._identity = identity.encode()
        self._root = os.path.abspath(directory)
        self.path = path_of(directory, identity)
        self._max_bytes = max_bytes
        # Not the pid, which can be the same in containers that share a spool.
        self._run = int.from_bytes(os.urandom(6), "big")
        self._serial = 0
        self._mutex = threading.Lock()
        try:
            Path(self._root).mkdir(mode=0o700, parents=True, exist_ok=True)
            make_private(Path(self.path))
            # `sweep` removes what a crash during the trial leaves.
            names = (f".{self._run}-0.part", f".{self._run}-0.1.part")
            self._ahead_s = try_out(Path(self.path), *names)
        except OSError as error:
            raise SpoolError(f"{self.path}: {error.strerror}") from error

    def _at(self, name: str) -> Path:
        return Path(self.path, name)

    def add(
        self, body: bytes, start_ns: int, *, unconfirmed: bool = False, errors: int = 0
    ) -> tuple[Claim, int]:
        """Makes room for a profile, and writes it: a reader finds the whole file or none.

        Returns:
            The claim on the new file, and how many older ones were removed to make room.

        Raises:
            SpoolError: the disk is full, the directory is gone, or the body is larger than the whole spool.
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
        """All entries, by any writer, oldest first; empty where the directory cannot be read."""
        try:
            names = os.listdir(self.path)  # noqa: PTH208  no more than names is needed
        except OSError:
            return []
        found = (Entry.parse(name) for name in names)
        return sorted((entry for entry in found if entry is not None), key=lambda entry: entry.name)

    def claim(self, entry: Entry) -> Claim | None:
        """Claims an entry for the caller.

        Returns:
            None where another thread or process holds the file, it is gone, or it cannot be read at the moment.

        Raises:
            ValueError: the file was damaged or of another server; it has been removed.
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
        """Removes a claimed file, and ends the claim."""
        with contextlib.suppress(OSError):
            try:
                self._at(claim.entry.name).unlink()
            except FileNotFoundError:
                self._at(self._name_now(claim.entry)).unlink()
        unlock(claim.lock)

    def _name_now(self, entry: Entry) -> str:
        """A claimed file's name by now: on NFS another host's rename before the claim may be seen only later."""
        names = (one.name for one in self.entries() if one.key == entry.key)
        return next(names, entry.name)

    def release(self, claim: Claim, *, unconfirmed: bool, errors: int) -> Entry:
        """Renames a claimed file by the new facts, and ends the claim. Returns the entry under which it is now."""
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
        """Whether this object wrote the entry."""
        return entry.key.startswith(f"{self._run}-")

    def sweep(self) -> tuple[int, int]:
        """Removes, for all servers, profiles that are too old for any, and files that a crash left half written.

        Returns:
            How many profiles were too old, and how many were half written.
        """
        found: list[tuple[int, int]] = []
        now_s = time.time() + self._ahead_s
        with contextlib.suppress(OSError):
            places = [
                one.path for one in os.scandir(self._root) if one.is_dir(follow_symlinks=False)
            ]
            found = [sweep_directory(path, now_s) for path in places]
        return sum(old for old, _ in found), sum(halves for _, halves in found)
