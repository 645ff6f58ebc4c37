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
"""Of the time that passes, what rewriting the file may take: it grows with the run."""


class OutputFile:
    """The profile of the whole run, in a file that is complete at any moment.

    What is there already is another process's, or another run's: it stays, and the profile goes beside it. Where the
    disk does not take it, it stands elsewhere until the disk does.

    Attributes:
        path: of the file.
        counters: `written_elsewhere` and `dropped_not_written`, where that has happened.
    """

    def __init__(self, path: str, pid: int, log: Log) -> None:
        """Writes nothing yet. What is relative is so to the working directory of now: the host may change it.

        Args:
            path: of the file.
            pid: of the host, for a name beside.
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
        """Adds what goes with the next window: the file holds both, or neither."""
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
        # One process, as against what the controller merges: no sample needs a pid.
        whole = self._merge.profile()
        whole = replace(whole, samples=[replace(one, pid=0) for one in whole.samples])
        squeezer = zlib.compressobj(wbits=31)
        return squeezer.compress(encode(whole)) + squeezer.flush()

    def _write_elsewhere(self, data: bytes, why: str, *, final: bool) -> None:
        """At once, and at each window anew: the host may be killed before its disk has room."""
        elsewhere = spare.write(Path(self.path).name, data)
        if elsewhere is not None and self._spare is not None:
            with contextlib.suppress(OSError):  # it is now in another folder
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
            # In a container a crash may have left one of this very pid, and in /tmp others may put one there.
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
        """Moves it to `path`, or where something is there to a name beside, which `path` becomes."""
        wanted = self.path
        names = unique_path.names(wanted, str(self._pid))
        self.path = next(name for name in names if unique_path.move(written, name))
        if self.path != wanted:
            self._log(
                "warning",
                f"{wanted} is there already and stays; the profile goes to {self.path}."
                " %p in the name gives each process a file of its own",
            )
