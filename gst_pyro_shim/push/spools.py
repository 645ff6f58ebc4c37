# SPDX-License-Identifier: MIT
"""Where profiles wait on disk: in the folder that the settings name, or, while that takes none, in a temporary one.

What an earlier run left in either of them is delivered.

Context: agent (the exporter's threads). All calls may block on the disk.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gst_pyro_shim.push.spool import Spool, path_of
from gst_pyro_shim.push.spool_files import SpoolError, make_private

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gst_pyro_shim.push.spool import Claim
    from gst_pyro_shim.push.spool_entry import Entry

SPOOL_REST_S: Final = 60.0
"""Seconds for which a folder that failed is not used."""


def spare_folder() -> str:
    """The folder for profiles that the folder of the settings does not take."""
    # In /tmp another user may have made it: `make_private` checks that.
    return f"{os.environ.get('TMPDIR') or '/tmp'}/gst-pyro-shim-{os.geteuid()}"  # noqa: S108


class _Place:
    """One folder, opened at first use: whoever makes the exporter must not wait for a home that does not answer.

    Attributes:
        failure: why the folder was not used last.
    """

    def __init__(self, directory: str, identity: str, *, is_spare: bool) -> None:
        self.failure: SpoolError | None = None
        self._directory = directory
        self._identity = identity
        self._is_spare = is_spare
        self._opening = threading.Lock()
        self._spool: Spool | None = None
        self._rest_until = 0.0

    @property
    def rests(self) -> bool:
        return time.monotonic() < self._rest_until

    def rest(self, failure: SpoolError) -> None:
        self.failure, self._rest_until = failure, time.monotonic() + SPOOL_REST_S

    def opened(self, *, make: bool) -> Spool | None:
        """The spool; None where it cannot be used for now, or does not exist and `make` is False."""
        with self._opening:
            if self.rests:
                return None
            path = path_of(self._directory, self._identity)
            if self._spool is None and (make or os.path.lexists(path)):
                try:
                    if self._is_spare:  # others can write in the folder around it
                        make_private(Path(self._directory))
                    self._spool = Spool(self._directory, self._identity)
                except SpoolError as error:
                    self.rest(error)
                except OSError as error:
                    self.rest(SpoolError(f"{self._directory}: {error.strerror}"))
            return self._spool


class Spools:
    """Both folders of one server and account."""

    def __init__(self, directory: str | None, identity: str) -> None:
        """Touches no disk.

        Args:
            directory: the setting; None or "" for no spool at all.
            identity: of the server and account, `Endpoint.identity`.
        """
        folders = ((directory, False), (spare_folder(), True)) if directory else ()
        self._places = [
            _Place(str(folder), identity, is_spare=is_spare) for folder, is_spare in folders
        ]

    @property
    def can_take(self) -> bool:
        """Whether a folder is left that did not fail in the last minute. Does not block."""
        return any(not place.rests for place in self._places)

    @property
    def failure(self) -> SpoolError | None:
        """Why the folder of the settings takes nothing at the moment; None where it does."""
        return self._places[0].failure if self._places and self._places[0].rests else None

    @property
    def path(self) -> str:
        """The folder for the next profile; "" where none can be used."""
        return next((spool.path for _, spool in self._opened(make=True)), "")

    def _opened(self, *, make: bool) -> Iterator[tuple[_Place, Spool]]:
        for place in self._places:
            spool = place.opened(make=make or place is self._places[0])
            if spool is not None:
                yield place, spool

    def add(
        self, body: bytes, start_ns: int, *, unconfirmed: bool, errors: int
    ) -> tuple[Claim, int] | None:
        """As `Spool.add`, in the first folder that takes the profile; None where none does."""
        for place, spool in self._opened(make=True):
            try:
                return spool.add(body, start_ns, unconfirmed=unconfirmed, errors=errors)
            except SpoolError as error:
                place.rest(error)
        return None

    def entries(self) -> list[tuple[Spool, Entry]]:
        """All entries of both folders, by any writer."""
        return [
            (spool, entry) for _, spool in self._opened(make=False) for entry in spool.entries()
        ]

    def sweep(self) -> tuple[int, int]:
        """As `Spool.sweep`, for both folders."""
        found = [spool.sweep() for _, spool in self._opened(make=False)]
        return sum(old for old, _ in found), sum(halves for _, halves in found)
