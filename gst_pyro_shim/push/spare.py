# SPDX-License-Identifier: MIT
"""Another folder for a profile whose own folder does not take it: the disk is full, gone, or read-only by now.

Context: agent and controller.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gst_pyro_shim.unique_path import SUFFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NAME_BYTES: Final = 150
"""Bytes kept of the file's intended name: mkstemp adds to it, and the limit of a name is 255."""


def folders(environ: Mapping[str, str]) -> Iterator[Path]:
    """Folders for files of any user, or of this one. Some are in memory, so a full disk does not affect them."""
    places = [environ.get("TMPDIR", ""), "/tmp", "/var/tmp"]  # noqa: S108  the file's name is random
    places += [environ.get("XDG_RUNTIME_DIR", ""), "/dev/shm", environ.get("HOME", "")]  # noqa: S108
    yield from (Path(one) for one in dict.fromkeys(places) if one.startswith("/"))


def write(name: str, data: bytes, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Writes a profile into the first folder that takes it, for its owner alone.

    Args:
        name: the file's intended name; the new name begins with it.
        data: of a .pb.gz file.
        environ: names some of the folders.

    Returns:
        The new file; None where no folder took it.
    """
    import tempfile  # slow to import, and hardly ever needed

    stem = os.fsdecode(os.fsencode(name.removesuffix(SUFFIX))[:_NAME_BYTES])
    for folder in folders(environ):
        path = None
        try:
            descriptor, made = tempfile.mkstemp(SUFFIX, f"{stem}.", folder)
            path = Path(made)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
        except OSError:
            if path is not None:
                with contextlib.suppress(OSError):
                    path.unlink()
        else:
            return path
    return None
