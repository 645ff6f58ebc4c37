# SPDX-License-Identifier: MIT
"""The names of files in the spool; spool.py has the files themselves.

Context: agent (the exporter's threads).
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MAX_AGE_S: Final = 55 * 60.0
"""The server refuses profiles that began more than 60 minutes ago."""

_NAME: Final = re.compile(r"(\d{20})-u([01])-e(\d+)-(\d+)-(\d+)\.push")
_REST: Final = re.compile(r"\.\d+-[\d.]+\.part|\.nfs[0-9a-f]+")
"""A file half written; or one that NFS renamed because a host had it open when it was removed.

That host removes it, unless it crashes.
"""
_REST_AGE_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Entry:
    """The name of a file in the spool, parsed.

    Attributes:
        start_ns: wall clock at the start of the profile's window.
        unconfirmed: the profile was sent once without an answer, so the server may have stored it.
        errors: answers that left open whose fault it was.
        key: random number of the writer, and a serial number; no rename changes it.
    """

    start_ns: int
    unconfirmed: bool
    errors: int
    key: str

    @property
    def name(self) -> str:
        """The file's name; names sort by age, the oldest first."""
        return f"{self.start_ns:020d}-u{int(self.unconfirmed)}-e{self.errors}-{self.key}.push"

    @property
    def rank(self) -> tuple[int, int]:
        """As `PushJob.rank`."""
        return (self.errors + self.unconfirmed, self.start_ns)

    @classmethod
    def parse(cls, name: str) -> Entry | None:
        """The entry of a name; None where the file is not ours."""
        found = _NAME.fullmatch(name)
        if found is None:
            return None
        return cls(int(found[1]), found[2] == "1", int(found[3]), f"{found[4]}-{found[5]}")


def sweep_directory(path: str, now_s: float) -> tuple[int, int]:
    """Removes profiles that have been in a folder for too long, and what crashes left there.

    Args:
        path: of the folder.
        now_s: by the file system's clock, as the files' times. The start in a name is by its writer's clock.

    Returns:
        How many profiles were too old, and how many were half written.
    """
    old = halves = 0
    with contextlib.suppress(OSError):
        for file in os.scandir(path):
            is_profile = Entry.parse(file.name) is not None
            if not (is_profile or _REST.fullmatch(file.name)):
                continue
            with contextlib.suppress(OSError):
                status = file.stat(follow_symlinks=False)
                if now_s - status.st_mtime > (MAX_AGE_S if is_profile else _REST_AGE_S):
                    Path(file.path).unlink()
                    old += is_profile
                    halves += status.st_size > 0 and file.name.endswith(".part")
    return old, halves
