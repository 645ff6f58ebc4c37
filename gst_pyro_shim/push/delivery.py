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

        Where they name no server, there is one, the default, only if there is neither `merge` nor a file.

        Args:
            settings: the user's.
            pid: of the host, for `%p` in the file's name.
            log: takes a level and a line.
            merge: the sum that `run` makes.
            folder: the host's working directory, if it is not this process's: the file's name may be relative to it.
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
        """Whether profiles go to a server, where each element's name makes a series."""
        return self._server is not None

    @property
    def counters(self) -> dict[str, int]:
        """The exporter's counts and the file's, and what was dropped before it reached either."""
        counters = self._dropped.copy()
        if self._file is not None:
            counters.update(self._file.counters)
        if self._server is not None:
            counters.update(self._server.counters)
        return dict(counters)

    def drop(self, reason: str, text: str, number: int = 1) -> None:
        """Counts profiles that never reach the exporter, and logs each reason once. For the agent's thread alone."""
        if f"dropped_{reason}" not in self._dropped:
            self._log("warning", f"profile dropped ({reason}): {text}")
        self._dropped[f"dropped_{reason}"] += number

    def deliver(self, profile: Profile, *, final: bool) -> None:
        """Hands a profile to all destinations. May wait for the disk where there is a file, else for nothing."""
        # A profile without samples holds comments alone, which no server uses.
        if self._server is not None and profile.samples:
            for data in split(profile, server_symbolizes=self._server_symbolizes):
                self._server.submit(data, start_ns=profile.start_ns)
        if self._merge is not None:
            self._merge.add(profile)
        if self._file is not None:
            self._file.add(profile, final=final)

    def deliver_python(self, profile: Profile) -> None:
        """As `deliver`, for a window's Python functions, under a name of their own. `deliver` of the window follows."""
        if self._server is not None:
            for data in split(profile):
                self._server.submit(data, name=PYTHON_NAME, start_ns=profile.start_ns)
        of_python = replace(profile, samples=[], python=profile.samples)
        if self._merge is not None:
            self._merge.add(of_python)
        if self._file is not None:
            self._file.keep(of_python)

    def deliver_memory(self, data: bytes) -> None:
        """Hands over a profile of allocations, plain pprof. It holds no CPU time, so only the server takes it."""
        if self._server is None:
            self.drop("no_server", "profiles of allocations go to a server, and none is named")
        elif len(data) > MAX_PROFILE_BYTES:
            text = f"{len(data)} bytes of allocations; a server takes {MAX_PROFILE_BYTES} at most"
            self.drop("too_large", text)
        else:
            self._server.submit(data, name=MEMORY_NAME, start_ns=time.time_ns())

    def close(self, end: float, last_word: Callable[[], Profile]) -> None:
        """Flushes until `end` (time.monotonic) at the latest.

        Args:
            end: of time.monotonic().
            last_word: makes a profile without samples, for the sum and the file. Its totals include what became of the
                last pushes to the server.
        """
        if self._server is None:
            return
        self._server.close(max(0.05, end - time.monotonic()))
        if self._merge is not None:
            self._merge.add(last_word())
        if self._file is not None:
            self._file.add(last_word(), final=True)


def _exporter(settings: Settings, log: Log) -> Exporter:
    # Imported here: where there is only a file, nothing of the network is loaded.
    from gst_pyro_shim.push.exporter import Exporter

    return Exporter(settings, log)
