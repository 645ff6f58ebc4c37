# SPDX-License-Identifier: MIT
"""Profiles on disk: .pb.gz in, .pb.gz out.

Context: controller.
"""

from __future__ import annotations

import errno
import gzip
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gst_pyro_shim import unique_path
from gst_pyro_shim.errors import GstPyroError, ProfileFormatError
from gst_pyro_shim.pprof.decode import decode
from gst_pyro_shim.pprof.encode import encode

if TYPE_CHECKING:
    from gst_pyro_shim.pprof.model import Profile

_MAX_FILE_BYTES: Final = 256 * 1024 * 1024
_STREAM_DIRS: Final = ("/dev", "/dev/fd", "/proc/self/fd")


def read(path: Path) -> Profile:
    """Reads a profile from a file, gzipped or not, of at most 256 MiB.

    Raises:
        ProfileFormatError: it is no profile; the message names the file.
        GstPyroError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise GstPyroError(f"Cannot read {path}: {error.strerror}.") from error
    if len(data) > _MAX_FILE_BYTES:
        raise ProfileFormatError(f"{path} holds more than {_MAX_FILE_BYTES >> 20} MiB.")
    try:
        return decode(data)
    except ProfileFormatError as error:
        raise ProfileFormatError(f"{path}: {error.message}", error.hint) from error


def refuse_existing(path: Path, *, force: bool) -> None:
    """Raises the reason why `path` must not be overwritten; returns only where `force` is given.

    Raises:
        GstPyroError: it exists, and `force` is not given, or it is no regular file.
    """
    if path.exists() and not path.is_file():
        raise GstPyroError(f"{path} is no regular file.", "Name another with -o.")
    if not force:
        raise GstPyroError(f"File already exists, will not overwrite without --force: {path}")


def is_stream(path: Path) -> bool:
    """Whether `path` is written into and never replaced: /dev/stdout, whatever it leads to, or /dev/null."""
    folder = Path(os.path.abspath(path)).parent
    # lexists: the link of a closed stream still exists, and a file must not replace it.
    return str(folder) in _STREAM_DIRS and os.path.lexists(path) and not path.is_block_device()


def compressed(profile: Profile) -> bytes:
    """The content of a .pb.gz file."""
    return gzip.compress(encode(profile), compresslevel=6, mtime=0)


def write(path: Path, profile: Profile, *, force: bool) -> None:
    """Writes `profile` as .pb.gz; raises as `write_bytes`."""
    write_bytes(path, compressed(profile), force=force)


def write_bytes(path: Path, data: bytes, *, force: bool) -> None:
    """Writes a file that only its owner can read, whole or not at all; or writes into a stream (`is_stream`).

    Raises:
        FileExistsError: the file exists, and `force` is not given.
        GstPyroError: it is no regular file, and `force` is given.
        OSError: it cannot be written.
    """
    if is_stream(path):
        path.write_bytes(data)
        return
    if force and path.exists():
        refuse_existing(path, force=True)
    # Not named after `path`, whose name may be as long as names can be.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".gst-pyro.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        if force:
            temporary.replace(path)
        elif not unique_path.move(temporary, str(path)):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    finally:
        temporary.unlink(missing_ok=True)


def write_view(
    profile: Path, output: Path | None, suffix: str, data: bytes, *, force: bool
) -> None:
    """Writes a view of a profile, and prints its path unless the view itself goes to /dev/stdout.

    Args:
        profile: file of the profile.
        output: file to write; None: beside `profile`, with `suffix` in place of .pb.gz.
        suffix: of the view's file.
        data: the view.
        force: an existing file may be replaced.

    Raises:
        GstPyroError: it cannot be written, or it would replace the profile itself.
    """
    if output is None:
        if is_stream(profile):
            raise GstPyroError(
                f"No file can be written beside {profile}.", f"Name a file: -o FILE{suffix}"
            )
        output = profile.with_name(profile.name.removesuffix(unique_path.SUFFIX) + suffix)
    try:
        if output.exists() and output.samefile(profile):
            raise GstPyroError(f"{output} is the profile itself.", "Name another file with -o.")
        write_bytes(output, data, force=force)
    except FileExistsError:
        refuse_existing(output, force=False)
    except OSError as error:
        raise GstPyroError(
            f"Cannot write {output}: {error.strerror}.",
            f"{profile} is as it was. Name another place with -o.",
        ) from error
    if not is_stream(output):
        sys.stdout.write(f"{output}\n")
