# SPDX-License-Identifier: MIT
"""Where finished profiles go: the server, the controller's collector, the user's file.

Context: agent.
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

from pydantic import SecretStr

from gst_pyro_shim import free_name, spare
from gst_pyro_shim.merge import Merge
from gst_pyro_shim.profile import MAX_PROFILE_BYTES, encode, split
from gst_pyro_shim.spool_entry import MAX_AGE_S
from gst_pyro_shim.wire import (
    COLLECTOR_ENV,
    MEMORY_NAME,
    PYTHON_NAME,
    STARTED_PATH,
    TOKEN_ENV,
    TOKEN_HEADER,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gst_pyro_shim.config import Settings
    from gst_pyro_shim.exporter import Exporter
    from gst_pyro_shim.model import Profile
    from gst_pyro_shim.outbox import Log

_COLLECTOR_S: Final = 0.1
"""Of the last second, what is left for the controller: it is on this machine and answers at once."""
_COLLECTOR_LEAST_S: Final = 1.0
"""What it gets though nothing is left: on a busy machine names and encoding may take the second."""
_WRITE_SHARE: Final = 0.005
"""Of the time that passes, what rewriting the file may take: it grows with the run."""


def announce(environ: Mapping[str, str]) -> None:
    """Tells the controller, where there is one, that an agent is inside its host. Waits for no answer."""
    host, _, port = environ.get(COLLECTOR_ENV, "").removeprefix("http://").rpartition(":")
    if not host:
        return
    import socket

    head = f"POST {STARTED_PATH} HTTP/1.1\r\n{TOKEN_HEADER}: {environ.get(TOKEN_ENV, '')}\r\n\r\n"
    with (
        contextlib.suppress(OSError, ValueError),
        socket.create_connection((host, int(port)), _COLLECTOR_LEAST_S) as connection,
    ):
        connection.sendall(head.encode())


class Delivery:
    """All destinations of one run."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], pid: int, log: Log) -> None:
        """Opens what the settings and the controller name.

        Without any of them the default server is pushed to. A controller that collects, or a file, takes its place.

        Args:
            settings: the user's.
            environ: of the host; names the controller's collector.
            pid: of the host, for `%p` in the file's name.
            log: takes a level and a line.

        Raises:
            ValueError: the collector's URL or token cannot be used.
        """
        collector = environ.get(COLLECTOR_ENV, "")
        self.places: list[str] = []
        self._collector: Exporter | None = None
        self._server: Exporter | None = None
        self._file: OutputFile | None = None
        self._server_symbolizes = settings.server_symbolizes
        self._log = log
        self._dropped: Counter[str] = Counter()
        if collector:
            own = _collector_settings(settings, collector, environ.get(TOKEN_ENV, ""))
            # It takes profiles of any age, as of a host that was stopped over lunch.
            self._collector = _exporter(own, log, max_age_s=None)
            self.places.append("the controller")
        if settings.output:
            self._file = OutputFile(settings.output.replace("%p", str(pid)), pid, log)
            self.places.append(self._file.path)
        if settings.server_is_set or not self.places:
            self._server = _exporter(settings, log, max_age_s=MAX_AGE_S)
            self._server.warm_up()
            self.places.append(settings.masked()["server_url"])

    @property
    def pushes(self) -> bool:
        """A server takes profiles, in which each name is a series."""
        return self._server is not None

    @property
    def counters(self) -> dict[str, int]:
        """What was dropped before it came to any exporter, and an exporter's counts.

        Those of the server where there is one; the collector's are only told where something was lost.
        """
        counters = self._dropped.copy()
        if self._file is not None:
            counters.update(self._file.counters)
        if self._server is not None:
            counters.update(self._server.counters)
        elif self._collector is not None:
            found = self._collector.counters.items()
            counters.update({name: value for name, value in found if name.startswith("dropped_")})
        return dict(counters)

    def drop(self, reason: str, text: str, number: int = 1) -> None:
        """Counts profiles that no exporter gets, and says so once for each reason. For the agent's thread."""
        if f"dropped_{reason}" not in self._dropped:
            self._log("warning", f"profile dropped ({reason}): {text}")
        self._dropped[f"dropped_{reason}"] += number

    def deliver(self, profile: Profile, *, final: bool) -> None:
        """Hands a profile to all destinations. Waits for the disk alone, and only where there is a file."""
        # Without samples only the comments are of use, and those only to the controller.
        server = self._server if profile.samples else None
        forms: dict[bool, list[bytes]] = {}
        for exporter, symbolizes in ((self._collector, False), (server, self._server_symbolizes)):
            if exporter is None:
                continue
            if symbolizes not in forms:
                forms[symbolizes] = split(profile, server_symbolizes=symbolizes)
            for data in forms[symbolizes]:
                exporter.submit(data, start_ns=profile.start_ns)
        if self._file is not None:
            self._file.add(profile, final=final)

    def deliver_python(self, profile: Profile) -> None:
        """The same for a profile of Python functions, under a name of its own."""
        exporters = [one for one in (self._collector, self._server) if one is not None]
        for data in split(profile) if exporters else ():
            for exporter in exporters:
                exporter.submit(data, name=PYTHON_NAME, start_ns=profile.start_ns)
        if self._file is not None:
            self._file.add(replace(profile, samples=[], python=profile.samples), final=False)

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
                the controller and the file.
        """
        if self._server is not None:
            server_end = end - (_COLLECTOR_S if self._collector is not None else 0.0)
            self._server.close(max(0.05, server_end - time.monotonic()))
            if self._file is not None:
                self._file.add(last_word(), final=True)
        if self._collector is not None:
            if self._server is not None:
                self._collector.submit(encode(last_word()), start_ns=time.time_ns())
            self._collector.close(max(_COLLECTOR_LEAST_S, end - time.monotonic()))


def _exporter(settings: Settings, log: Log, *, max_age_s: float | None) -> Exporter:
    # Imported here: who writes a file alone needs no network.
    from gst_pyro_shim.exporter import Exporter

    return Exporter(settings, log, max_age_s=max_age_s)


def _collector_settings(settings: Settings, url: str, token: str) -> Settings:
    """No credential of the server's goes there, and nothing waits on disk for it."""
    return type(settings)(
        server_url=url,
        http_headers={TOKEN_HEADER: SecretStr(token)},
        tracer_name=settings.tracer_name,
        tags=settings.tags,
        spool_dir="",
    )


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
                self._move_to_free_name(temporary)
                self._is_ours = True
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise

    def _move_to_free_name(self, written: Path) -> None:
        """Moves it to `path`, or where something is there to a name beside, which `path` becomes."""
        wanted = self.path
        names = free_name.names(wanted, str(self._pid))
        self.path = next(name for name in names if free_name.move(written, name))
        if self.path != wanted:
            self._log(
                "warning",
                f"{wanted} is there already and stays; the profile goes to {self.path}."
                " %p in the name gives each process a file of its own",
            )
