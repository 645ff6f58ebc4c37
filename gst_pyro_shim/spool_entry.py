# SPDX-License-Identifier: MIT
"""Names of files in the spool, and what they say; spool.py has the files themselves.

Context: agent (the exporter's threads).
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MAX_AGE_S: Final = 55 * 60.0
"""The server refuses profiles that began more than 60 minutes ago."""

_NAME: Final = re.compile(r"(\d{20})-u([01])-e(\d+)-(\d+)-(\d+)\.push")
_PART: Final = re.compile(r"\.\d+-\d+\.part")
_PART_AGE_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in the spool, as its name tells it.

    Attributes:
        start_ns: wall clock at the start of the profile's window.
        unconfirmed: it was sent once without an answer, so it may have been stored.
        errors: answers that left open whose fault it was.
        key: random number of its writer, and serial: the same through all renames.
    """

    start_ns: int
    unconfirmed: bool
    errors: int
    key: str

    @property
    def name(self) -> str:
        """Of the file; the order of names is the order of age."""
        return f"{self.start_ns:020d}-u{int(self.unconfirmed)}-e{self.errors}-{self.key}.push"

    @classmethod
    def parse(cls, name: str) -> Entry | None:
        """The entry of that name; None where the file is none of ours."""
        found = _NAME.fullmatch(name)
        if found is None:
            return None
        return cls(int(found[1]), found[2] == "1", int(found[3]), f"{found[4]}-{found[5]}")


def is_too_old(start_ns: int) -> bool:
    """Whether no server takes a profile any more whose window began then (wall clock)."""
    return time.time() - start_ns / 1e9 > MAX_AGE_S


def sweep_directory(path: str) -> int:
    """Removes profiles that are too old, and halves that a crash left; returns how many profiles."""
    removed = 0
    with contextlib.suppress(OSError):
        for file in os.scandir(path):
            entry = Entry.parse(file.name)
            with contextlib.suppress(OSError):
                if entry is not None and is_too_old(entry.start_ns):
                    Path(file.path).unlink()
                    removed += 1
                elif _PART.fullmatch(file.name) and _is_left_over(file):
                    Path(file.path).unlink()
    return removed


def _is_left_over(file: os.DirEntry[str]) -> bool:
    return time.time() - file.stat().st_mtime > _PART_AGE_S
