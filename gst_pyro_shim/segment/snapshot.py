# SPDX-License-Identifier: MIT
"""Finds the segments of a process and copies them, for the dump (dump.py).

The agent drains a segment and frees its rows, so a second reader would take records away from it. In a copy a drain
does no harm.

Context: controller. It writes to no process's memory.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gst_pyro_shim.errors import SegmentError

if TYPE_CHECKING:
    from collections.abc import Iterator

_MEMORY: Final = "memfd:gst-pyro"
_HEAD_BYTES: Final = 1 << 16
"""The segment's fields in front of its tables, and a little more."""
_CHUNK_BYTES: Final = 1 << 20


def segments_of(pid: int) -> list[Path]:
    """Files of /proc by which the segments of a process can be opened, one for each segment.

    The profiled process has its own open. An agent has those of its hosts mapped, also for a moment after they ended.

    Raises:
        SegmentError: there is no such process, it has no segment, or this user may not look.
    """
    process = Path(f"/proc/{pid}")
    found: dict[int, Path] = {}
    try:
        for file in (process / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # it was just closed
                if _MEMORY in str(file.readlink()):
                    found.setdefault(file.stat().st_ino, file)
        for line in (process / "maps").read_text("utf-8", "replace").splitlines():
            if _MEMORY in line:
                addresses, _, _, _, inode, _ = line.split(maxsplit=5)
                found.setdefault(int(inode), process / "map_files" / addresses)
    except (FileNotFoundError, ProcessLookupError):
        hint = "A segment can be dumped while the profiled process runs, or while its agent does."
        raise SegmentError(f"There is no process {pid}.", hint) from None
    except PermissionError:
        hint = "Run the dump as the process's user, or as root."
        raise SegmentError(f"This user may not look into process {pid}.", hint) from None
    if not found:
        raise SegmentError(
            f"Process {pid} has no segment: it is not profiled, or GStreamer has not started in it.",
            "Pass the id of the process that runs the pipeline, or of its agent.",
        )
    return list(found.values())


def _copy_up_to(end: int, source: int, copy: int) -> None:
    """Copies bytes, and leaves holes: the first read of a hole through a mapping would allocate memory for it."""
    at = 0
    while at < end:
        try:
            at = os.lseek(source, at, os.SEEK_DATA)
        except OSError:  # only a hole is left
            return
        stop = min(os.lseek(source, at, os.SEEK_HOLE), end)
        while at < stop:
            at += os.pwrite(copy, os.pread(source, min(_CHUNK_BYTES, stop - at), at), at)


@contextlib.contextmanager
def copy_of(file: Path) -> Iterator[int]:
    """A descriptor of a copy of a segment.

    The ring is copied before the fields that are kept, which hold its tail: the agent may drain meanwhile, and zeroes
    what it has drained.

    Raises:
        SegmentError: it cannot be opened.
    """
    try:
        source = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        hint = (
            "Run the dump as root: only root may open memory that a process has no descriptor of."
        )
        raise SegmentError(f"{file} cannot be opened: {error.strerror}.", hint) from error
    copy = os.memfd_create("dump")
    try:
        size = os.fstat(source).st_size
        os.ftruncate(copy, size)
        _copy_up_to(size, source, copy)
        _copy_up_to(min(size, _HEAD_BYTES), source, copy)
        yield copy
    finally:
        os.close(copy)
        os.close(source)
