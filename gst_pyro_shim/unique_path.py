# SPDX-License-Identifier: MIT
"""A new profile gets a name that nobody has: what is there already stays, and the profile goes beside it.

Context: agent and controller. Imports little: pprof/files.py, with the ways to read and write, is dear to import.
"""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUFFIX: Final = ".pb.gz"


def names(wanted: str, mark: str = "") -> Iterator[str]:
    """`wanted`, then names beside it without end: in a container each run may have the same pid.

    Args:
        wanted: a path; its end, where it is `SUFFIX`, stays the end.
        mark: stands in each name beside it, "" for none.
    """
    stem = wanted.removesuffix(SUFFIX)
    yield wanted
    if mark:
        yield f"{stem}.{mark}{SUFFIX}"
        stem = f"{stem}.{mark}"
    yield from (f"{stem}.{number}{SUFFIX}" for number in itertools.count(2))


def move(written: Path, path: str) -> bool:
    """Moves a finished file to `path` unless something is there, be it a link that leads nowhere.

    Raises:
        OSError: it cannot stand there.
    """
    try:
        os.link(written, path)  # unlike a rename it replaces nothing
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        if os.path.lexists(path):
            return False
        written.replace(path)
    else:
        written.unlink()
    return True
