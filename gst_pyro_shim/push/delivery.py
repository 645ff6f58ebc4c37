# SPDX-License-Identifier: MIT
"""Where finished profiles go: the server, the sum that `run` makes, the user's file.

Context: agent, controller.
"""

from __future__ import annotations

import contextlib
import os
import time
import zlib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gst_pyro_shim import unique_path
from gst_pyro_shim.pprof.encode import MAX_PROFILE_BYTES, encode, split
from gst_pyro_shim.pprof.merge import Merge
from gst_pyro_shim.protocol import MEMORY_NAME, PYTHON_NAME
from gst_pyro_shim.push import spare

if TYPE_CHECKING:
    from collections.abc import Callable

    from gst_pyro_shim.pprof.model import Profile
    from gst_pyro_shim.push.exporter import Exporter
    from gst_pyro_shim.push.notices import Log
    from gst_pyro_shim.settings.model import Settings

_WRITE_SHARE: Final = 0.005
"""Of the time that passes, what rewriting the file may take: it grows with the run."""


class Delivery:
    """All destinations of one run."""

    def __init__(
        self,
        settings: Settings,
        pid: int,
        log: Log,
        merge: Merge | None = None,
        folder: str = "",
    ) -> None:
        """Opens what the settings name.

        Without any of them the default server is pushed to. A sum that is kept, or a file, takes its place.

        Args:
            settings: the user's.
            pid: of the host, for `%p` in the file's name.
            log: takes a level and a line.
            merge: what `run` adds up.
            folder: of the host, to which the file's name is relative; this process's own unless given.
        """
        self.places: list[str] = []
        self._merge = merge
        self._server: Exporter | None = None
        self._file: OutputFile | None = None
        self._server_symbolizes = settings.server_symbolizes
        self._log = log
        self._dropped: Counter[str] = Counter()
        if merge is not None:
            self.places.append("the controller")
        if settings.output:
            path = os.path.join(folder, settings.output.replace("%p", str(pid)))
            self._file = OutputFile(path, pid, log)
            self.places.append(self._file.path)
        if settings.server_is_set or not self.places:
            self._server = _exporter(settings, log)
            self._server.warm_up()
            self.places.append(settings.masked()["server_url"])

    @property
    def pushes(self) -> bool:
        """A server takes profiles, in which each name is a series."""
        return self._server is not None

    @property
    def counters(self) -> dict[str, int]:
        """What was dropped before it came to the exporter, and the exporter's counts."""
        counters = self._dropped.copy()
        if self._file is not None:
            counters.update(self._file.counters)
        if self._server is not None:
            counters.update(self._server.counters)
        return dict(counters)

    def drop(self, reason: str, text: str, number: int = 1) -> None:
        """Counts profiles that no exporter gets, and says so once for each reason. For the agent's thread."""
        if f"dropped_{reason}" not in self._dropped:
            self._log("warning", f"profile dropped ({reason}): {text}")
        self._dropped[f"dropped_{reason}"] += number

    def deliver(self, profile: Profile, *, final: bool) -> None:
        """Hands a profile to all destinations. Waits for the disk alone, and only where there is a file."""
        # Without samples only the comments are of use, and those to no server.
        if self._server is not None and profile.samples:
            for data in split(profile, server_symbolizes=self._server_symbolizes):
                self._server.submit(data, start_ns=profile.start_ns)
        if self._merge is not None:
            self._merge.add(profile)
        if self._file is not None:
            self._file.add(profile, final=final)

    def deliver_python(self, profile: Profile) -> None:
        """The same for a profile of Python functions, under a name of its own; `deliver` of its window follows."""
        if self._server is not None:
            for data in split(profile):
                self._server.submit(data, name=PYTHON_NAME, start_ns=profile.start_ns)
        of_python = replace(profile, samples=[], python=profile.samples)
        if self._merge is not None:
            self._merge.add(of_python)
        if self._file is not None:
            self._file.keep(of_python)

    def deliver_memory(self, data: bytes) -> None:
        """A profile of allocations, plain pprof. It says nothing of CPU time, so the server alone takes it."""
        if self._server is None:
            self.drop("no_server", "allocations go to a server alone, and none is named")
        elif len(data) > MAX_PROFILE_BYTES:
            text = f"{len(data)} bytes of allocations; servers take {MAX_PROFILE_BYTES} at most"
            self.drop("too_large", text)
        else:
            self._server.submit(data, name=MEMORY_NAME, start_ns=time.time_ns())

    def close(self, end: float, last_word: Callable[[], Profile]) -> None:
        """Flushes until `end` (time.monotonic) at the latest.

        Args:
            end: of the time there is.
            last_word: a profile without samples whose totals know what became of the last pushes to the server; for
                the sum and the file.
        """
        if self._server is None:
            return
        self._server.close(max(0.05, end - time.monotonic()))
        if self._merge is not None:
            self._merge.add(last_word())
        if self._file is not None:
            self._file.add(last_word(), final=True)


def _exporter(settings: Settings, log: Log) -> Exporter:
    # Imported here: who writes a file alone needs no network.
    from gst_pyro_shim.push.exporter import Exporter

    return Exporter(settings, log)


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
