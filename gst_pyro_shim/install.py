# SPDX-License-Identifier: MIT
"""Puts the shim where the dynamic loader looks, so that a bare `LD_PRELOAD=libgstpyro.so` works; takes it away again.

    <libdir>/libgstpyro.so                        link to the next
    <libdir>/gst-pyro-shim/plugin/libgstpyro.so   alone in its directory, which goes on GST_PLUGIN_PATH
    <libdir>/gst-pyro-shim/agent-python.txt       the record (paths.py): the agent stays in this package

A link and not a second copy: preloaded and loaded as a plugin it must be one object, and the loader tells
that by the inode.

Context: controller, as root.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from gst_pyro_shim import paths
from gst_pyro_shim.errors import InstallError

TREE_NAME = "gst-pyro-shim"

_SEARCHED = re.compile(r"^(/[^:]*):", re.MULTILINE)
_SBIN = "/usr/sbin:/sbin"


def install(libdir: Path | None = None) -> list[Path]:
    """Copies, links, and tells the loader.

    Args:
        libdir: a directory that the loader searches; the first usual one unless given.

    Returns:
        What was put there, the link first.

    Raises:
        InstallError: no permission, something else of that name, or a directory in which the loader does not look.
            Nothing is left there then.
        NotBuiltError: there is nothing to install.
    """
    shim, agent = paths.shim_path(), paths.agent_path()
    libdir = libdir or default_libdir()
    link, copy, record = _places(libdir)
    if os.path.lexists(link) and not _is_ours(link, copy):
        raise InstallError(
            f"{link} is there and is not ours.", "Move it away, or name another --libdir."
        )
    if not libdir.is_dir():
        raise InstallError(f"{libdir} is no directory.", _searched_hint())
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        _copy(shim, copy)
        paths.replace_file(record, paths.record_text(agent))
        if not link.is_symlink():
            link.symlink_to(copy.relative_to(libdir))
    except OSError as error:
        raise _failed(error, "install") from error
    _run_ldconfig()
    if not _loader_finds():
        _uninstall_from(libdir)
        raise InstallError(
            f"The loader does not find {paths.SHIM_NAME} in {libdir}.", _searched_hint()
        )
    return [link, copy, record]


def uninstall(libdir: Path | None = None) -> list[Path]:
    """Removes what `install` put there, and nothing else.

    Args:
        libdir: where; every directory that the loader searches unless given.

    Returns:
        What was removed; empty where nothing was installed.

    Raises:
        InstallError: no permission.
    """
    removed = []
    try:
        for directory in [libdir] if libdir else searched_dirs():
            removed += _uninstall_from(directory)
    except OSError as error:
        raise _failed(error, "uninstall") from error
    if removed:
        _run_ldconfig()
    return removed


def _uninstall_from(libdir: Path) -> list[Path]:
    link, copy, record = _places(libdir)
    removed = []
    if _is_ours(link, copy):
        link.unlink()
        removed.append(link)
    for path in (copy, record):
        if path.is_file():
            path.unlink()
            removed.append(path)
    for directory in (copy.parent, record.parent):
        if directory.is_dir() and not any(directory.iterdir()):
            directory.rmdir()
    return removed


def _places(libdir: Path) -> tuple[Path, Path, Path]:
    tree = libdir / TREE_NAME
    return (
        libdir / paths.SHIM_NAME,
        tree / paths.PLUGIN_DIR_NAME / paths.SHIM_NAME,
        tree / paths.RECORD_NAME,
    )


def _is_ours(link: Path, copy: Path) -> bool:
    return link.is_symlink() and Path(os.path.normpath(link.parent / link.readlink())) == copy


def _copy(source: Path, target: Path) -> None:
    """In one step: programs that run may have the old one mapped, and writing into it would crash them."""
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(descriptor)
    try:
        shutil.copyfile(source, temporary)
        Path(temporary).chmod(0o755)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _failed(error: OSError, verb: str) -> InstallError:
    hint = ""
    if isinstance(error, PermissionError):
        hint = (
            f"This is the one step that needs root: sudo {sys.executable} -m gst_pyro_shim {verb}"
        )
    return InstallError(f"Cannot {verb} {error.filename}: {error.strerror}.", hint)


def default_libdir() -> Path:
    """The first of the usual directories that this system's loader searches.

    Raises:
        InstallError: there is none.
    """
    # Resolved: ldconfig says /lib where that is a link to /usr/lib.
    searched = {directory.resolve() for directory in searched_dirs()}
    multiarch = sysconfig.get_config_var("MULTIARCH") or ""
    usual = (
        "/usr/local/lib",
        "/usr/local/lib64",
        f"/usr/lib/{multiarch}",
        "/usr/lib64",
        "/usr/lib",
    )
    for directory in map(Path, usual):
        if directory.resolve() in searched:
            return directory
    raise InstallError("No directory is known that the loader searches.", "Name one with --libdir.")


def searched_dirs() -> list[Path]:
    """The directories of the loader's cache, in its order; empty where there is no ldconfig."""
    listed = _ldconfig("-v", "-N", "-X")
    return [Path(found) for found in dict.fromkeys(_SEARCHED.findall(listed))]


def _searched_hint() -> str:
    listed = ", ".join(map(str, searched_dirs()))
    return f"Name one of the directories that the loader searches with --libdir: {listed}."


def _run_ldconfig() -> None:
    _ldconfig()


def _loader_finds() -> bool:
    return any(line.split()[:1] == [paths.SHIM_NAME] for line in _ldconfig("-p").splitlines())


def _ldconfig(*arguments: str) -> str:
    program = shutil.which("ldconfig", path=f"{os.environ.get('PATH', '')}:{_SBIN}")
    if program is None:
        return ""
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    return done.stdout
