# SPDX-License-Identifier: MIT
"""Finds a free name for a new profile. Existing files stay, and the profile goes beside them.

Context: agent and controller. Apart from pprof/files.py, which is slow to import.
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
    """`wanted`, then an endless series of names beside it: in a container each run may have the same pid.

    Args:
        wanted: a path. If it ends in `SUFFIX`, so do the other names.
        mark: a part of each other name, "" for none.
    """
    stem = wanted.removesuffix(SUFFIX)
    yield wanted
    if mark:
        yield f"{stem}.{mark}{SUFFIX}"
        stem = f"{stem}.{mark}"
    yield from (f"{stem}.{number}{SUFFIX}" for number in itertools.count(2))


def move(written: Path, path: str) -> bool:
    """Moves a finished file to `path`, unless that exists, be it as a link that leads nowhere.

    Returns:
        Whether it was moved.

    Raises:
        OSError: `path` cannot be written.
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
