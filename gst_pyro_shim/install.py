# SPDX-License-Identifier: MIT
"""Installs the shim where the dynamic loader looks, so that `LD_PRELOAD=libgstpyro.so` works; removes it again.

    <libdir>/libgstpyro.so                        link to the next
    <libdir>/gst-pyro-shim/plugin/libgstpyro.so   alone in its directory, which goes on GST_PLUGIN_PATH
    <libdir>/gst-pyro-shim/agent-python.txt       the record (paths.py): the agent stays in this package

The first is a link and not a second copy: the loader compares inodes, and the shim must be one object to it
whether it is preloaded or loaded as a plugin.

Context: controller, as root.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path

from gst_pyro_shim import paths
from gst_pyro_shim.errors import InstallError

TREE_NAME = "gst-pyro-shim"

_FILE_MODE = 0o644
_LIBRARY_MODE = _FOLDER_MODE = 0o755
"""Whatever root's umask is: every user's programs read these files, and only root writes them."""
_SEARCHED = re.compile(r"^(/[^:]*):", re.MULTILINE)
_FOUND = re.compile(rf"^\s*{re.escape(paths.SHIM_NAME)} \(.*\) => (/.*)$", re.MULTILINE)
_CACHE = Path("/etc/ld.so.cache")
_SBIN = "/usr/sbin:/sbin"


def install(libdir: Path | None = None) -> list[Path]:
    """Copies the shim, links to it, and updates the loader's cache.

    Args:
        libdir: a directory that the loader searches; the first usual one unless given.

    Returns:
        The files that were installed, the link first.

    Raises:
        InstallError: there is no permission, or another file of that name, or the loader does not search the directory,
            or it finds another shim first. Everything is then as it was before.
        NotBuiltError: there is nothing to install.
    """
    shim, agent = paths.shim_path(), paths.agent_path()
    libdir = (libdir or default_libdir()).resolve()
    link, copy, record = places = _places(libdir)
    if os.path.lexists(link) and not _is_ours(link, copy):
        raise InstallError(
            f"{link} exists, and gst-pyro-shim did not install it.",
            "Move it away, or name another directory with --libdir.",
        )
    if not libdir.is_dir():
        raise InstallError(f"{libdir} is not a directory.", _searched_hint())
    try:
        with contextlib.ExitStack() as undo:
            for folder in (record.parent, copy.parent):
                _make_folder(folder, undo)
            with (
                tempfile.TemporaryDirectory(dir=record.parent, prefix=".new-") as scratch,
                contextlib.ExitStack() as undo_files,
            ):
                undo_files.callback(_run_ldconfig)
                new = _places(Path(scratch))
                _stage(new, shim, paths.record_text(agent))
                # The link last: with it the loader finds the rest.
                for source, target in zip(reversed(new), reversed(places), strict=True):
                    _replace(source, target, undo_files)
                _run_ldconfig()
                _check_found(copy)
                undo_files.pop_all()
            undo.pop_all()
    except OSError as error:
        raise _failed(error, "install", libdir) from error
    return list(places)


def _make_folder(folder: Path, undo: contextlib.ExitStack) -> None:
    if not folder.is_dir():
        folder.mkdir()
        undo.callback(folder.rmdir)
    folder.chmod(_FOLDER_MODE)


def _stage(new: tuple[Path, Path, Path], shim: Path, record_text: str) -> None:
    """Writes everything that takes room on the disk, before anything is replaced."""
    link, copy, record = new
    copy.parent.mkdir(parents=True)
    shutil.copyfile(shim, copy)
    copy.chmod(_LIBRARY_MODE)
    record.write_text(record_text, "utf-8", "surrogateescape")
    record.chmod(_FILE_MODE)
    link.symlink_to(copy.relative_to(link.parent))


def _replace(source: Path, target: Path, undo: contextlib.ExitStack) -> None:
    """Replaces a file by a rename. Running programs may have the old one mapped; writing into it would crash them."""
    if os.path.lexists(target):
        before = source.with_name(f"{source.name}.before")
        shutil.copy2(target, before, follow_symlinks=False)
        source.replace(target)
        undo.callback(before.replace, target)
    else:
        source.replace(target)
        undo.callback(target.unlink)


def _check_found(copy: Path) -> None:
    found = _found_by_loader()
    if found is None and not os.access(_CACHE.parent, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(_CACHE))
    if found is None:
        text = f"The loader does not find {paths.SHIM_NAME} in {copy.parents[2]}."
        raise InstallError(text, _searched_hint())
    if found.resolve() != copy:
        raise InstallError(
            f"The loader finds another {paths.SHIM_NAME} before that in {copy.parents[2]}: {found}.",
            "Remove that one (`uninstall` does so if `install` put it there), or install into its directory: --libdir.",
        )


def uninstall(libdir: Path | None = None) -> list[Path]:
    """Removes what `install` put there, and nothing else.

    Args:
        libdir: the directory; all that the loader searches unless given.

    Returns:
        The files that were removed; empty where nothing was installed.

    Raises:
        InstallError: there is no permission.
    """
    removed = []
    try:
        for directory in [libdir] if libdir else searched_dirs():
            removed += _uninstall_from(directory.resolve())
    except OSError as error:
        raise _failed(error, "uninstall", libdir) from error
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


def _failed(error: OSError, subcommand: str, libdir: Path | None) -> InstallError:
    hint = ""
    if isinstance(error, PermissionError):
        command = [paths.python_path(), "-m", "gst_pyro_shim", subcommand]
        command += ["--libdir", str(libdir)] if libdir else []
        hint = f"Only this step needs root: sudo {shlex.join(command)}"
    place = error.filename2 or error.filename or libdir
    return InstallError(f"Cannot {subcommand}: {place}: {error.strerror}.", hint)


def default_libdir() -> Path:
    """The first of the usual directories that this system's loader searches.

    Raises:
        InstallError: there is none.
    """
    # Resolved: ldconfig prints /lib where that is a link to /usr/lib.
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
    raise InstallError(
        "The loader searches none of the usual directories.",
        "Name one that it searches with --libdir.",
    )


def searched_dirs() -> list[Path]:
    """The directories of the loader's cache, in its order; empty where there is no ldconfig."""
    listed = _ldconfig("-v", "-N", "-X")
    return [Path(found) for found in dict.fromkeys(_SEARCHED.findall(listed))]


def _searched_hint() -> str:
    listed = ", ".join(map(str, searched_dirs()))
    return f"Name a directory that the loader searches with --libdir. It searches: {listed}."


def _run_ldconfig() -> None:
    _ldconfig()


def _found_by_loader() -> Path | None:
    """The shim that LD_PRELOAD=libgstpyro.so loads: the first of that name in the loader's cache."""
    found = _FOUND.search(_ldconfig("-p"))
    return Path(found[1]) if found else None


def _ldconfig(*arguments: str) -> str:
    program = shutil.which("ldconfig", path=f"{os.environ.get('PATH', '')}:{_SBIN}")
    if program is None:
        return ""
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    return done.stdout
