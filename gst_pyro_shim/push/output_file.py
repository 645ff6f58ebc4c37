# SPDX-License-Identifier: MIT
"""The user's file: the profile of the whole run, rewritten as the run goes on.

Context: agent.
"""

from __future__ import annotations

import contextlib
import os
import time
import zlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gst_pyro_shim import unique_path
from gst_pyro_shim.pprof.encode import encode
from gst_pyro_shim.pprof.merge import Merge
from gst_pyro_shim.push import spare

if TYPE_CHECKING:
    from gst_pyro_shim.pprof.model import Profile
    from gst_pyro_shim.push.notices import Log

_WRITE_SHARE: Final = 0.005
"""Share of the time that may be spent on rewriting the file, which grows with the run."""


class OutputFile:
    """The profile of the whole run, in a file that is complete at any moment.

    A file that exists already is of another process or run. It is kept, and the profile goes to another name beside it.
    While the disk does not take the profile, it is in a file in another folder.

    Attributes:
        path: of the file.
        counters: `written_elsewhere` and `dropped_not_written`, where these have happened.
    """

    def __init__(self, path: str, pid: int, log: Log) -> None:
        """Writes nothing yet. A relative path is made absolute now: the host may change its working directory later.

        Args:
            path: of the file.
            pid: of the host, for another name beside `path`.
            log: takes a level and a line.
        """
        self.path = os.path.abspath(path)
        self._pid = pid
        self._log = log
        self._is_ours = False
        self._merge = Merge()
        self._next_write = 0.0
        self._spare: Path | None = None
        self._has_failed = False
        self.counters: dict[str, int] = {}

    def keep(self, profile: Profile) -> None:
        """Adds a profile that belongs to the next window: the file holds both, or neither."""
        self._merge.add(profile)

    def add(self, profile: Profile, *, final: bool) -> None:
        """Adds a window, and rewrites the file where that is due."""
        self._merge.add(profile)
        begin = time.monotonic()
        if begin < self._next_write and not final:
            return
        data = self._whole()
        try:
            self._write(data)
            self._remove_spare()
        except OSError as error:
            self._write_elsewhere(data, str(error.strerror), final=final)
        self._next_write = begin + (time.monotonic() - begin) / _WRITE_SHARE

    def _whole(self) -> bytes:
        # All samples are of one process, unlike those of the controller's sum: none needs a pid.
        whole = self._merge.profile()
        whole = replace(whole, samples=[replace(one, pid=0) for one in whole.samples])
        squeezer = zlib.compressobj(wbits=31)
        return squeezer.compress(encode(whole)) + squeezer.flush()

    def _write_elsewhere(self, data: bytes, why: str, *, final: bool) -> None:
        """Writes to another folder, at each window anew: the host may be killed before its own disk has room."""
        elsewhere = spare.write(Path(self.path).name, data)
        if elsewhere is not None and self._spare is not None:
            with contextlib.suppress(
                OSError
            ):  # fails where it is in another file system than the last one
                elsewhere = elsewhere.replace(self._spare)
        if not self._has_failed or elsewhere not in {None, self._spare}:
            where = f"it is in {elsewhere}" if elsewhere else "no other folder takes it either"
            self._log("error", f"cannot write the profile to {self.path}: {why}; {where}")
        self._has_failed = True
        if elsewhere is not None:
            self.counters["written_elsewhere"] = 1
            if elsewhere != self._spare:
                self._remove_spare()
            self._spare = elsewhere
        elif final:
            self.counters["dropped_not_written"] = 1

    def _remove_spare(self) -> None:
        if self._spare is not None:
            with contextlib.suppress(OSError):
                self._spare.unlink()
            self._spare = None

    def _write(self, data: bytes) -> None:
        temporary = Path(f"{self.path}.{os.getpid()}.part")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            # A crash may have left a file of the same pid, in a container; in /tmp another user may have made one.
            temporary.unlink(missing_ok=True)
            with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
                file.write(data)
            if self._is_ours:
                temporary.replace(self.path)
            else:
                self._move_to_unique_path(temporary)
                self._is_ours = True
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise

    def _move_to_unique_path(self, written: Path) -> None:
        """Moves the file to `path`, or, where that exists, to another name beside it, which becomes `path`."""
        wanted = self.path
        names = unique_path.names(wanted, str(self._pid))
        self.path = next(name for name in names if unique_path.move(written, name))
        if self.path != wanted:
            self._log(
                "warning",
                f"{wanted} is there already and stays; the profile goes to {self.path}."
                " %p in the name gives each process a file of its own",
            )
