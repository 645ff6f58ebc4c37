# SPDX-License-Identifier: MIT
"""Where finished profiles go: the server, the sum that `run` makes, the user's file.

Context: agent, controller.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from gst_pyro_shim.pprof.encode import MAX_PROFILE_BYTES, split
from gst_pyro_shim.protocol import MEMORY_NAME, PYTHON_NAME
from gst_pyro_shim.push.output_file import OutputFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from gst_pyro_shim.pprof.merge import Merge
    from gst_pyro_shim.pprof.model import Profile
    from gst_pyro_shim.push.exporter import Exporter
    from gst_pyro_shim.push.notices import Log
    from gst_pyro_shim.settings.model import Settings


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
