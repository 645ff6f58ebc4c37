# SPDX-License-Identifier: MIT
"""The environment that `run` gives to its target.

Context: controller, before the target starts. Variables that the user has set stay, and are added to.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gst_pyro_shim import paths
from gst_pyro_shim.protocol import CONTROLLER_ENV
from gst_pyro_shim.settings.model import OVERRIDE_ENV, env_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from gst_pyro_shim.agent.reception import Reception

_OTHER_TMPDIRS: Final = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 (a new folder in it, by mkdtemp)
_REGISTRY_VARIABLES: Final = ("GST_REGISTRY_1_0", "GST_REGISTRY")


def with_flags(environ: Mapping[str, str], flags: Mapping[str, str]) -> dict[str, str]:
    """`environ` with the settings that were given as flags. These beat the tracer's parameters too.

    Args:
        environ: the user's environment.
        flags: the flags: field of `Settings` to text.
    """
    out = {**environ, **{env_name(field): text for field, text in flags.items()}}
    named = [field for field in environ.get(OVERRIDE_ENV, "").split(",") if field]
    if flags:
        out[OVERRIDE_ENV] = ",".join(dict.fromkeys([*named, *flags]))
    return out


def for_target(environ: Mapping[str, str], reception: Reception, shim: Path) -> dict[str, str]:
    """The target's environment, without the plugin registry (`Registry`).

    Args:
        environ: the user's environment, with the flags (`with_flags`).
        reception: where the target's processes hand in their segments.
        shim: the file to preload.
    """
    out = dict(environ)
    # The controller writes the output file, for all processes together.
    out.pop(env_name("output"), None)
    out[CONTROLLER_ENV] = reception.address
    out.setdefault(env_name("python"), paths.python_path())
    before = out.get("LD_PRELOAD", "")
    out["LD_PRELOAD"] = f"{before}:{shim}" if before else str(shim)
    return out


class Registry:
    """A private copy of GStreamer's plugin registry, and a link to the shim where one is needed; a context manager.

    GStreamer rewrites the registry whenever our plugin appears or disappears. The copy spares the
    user's own. Where no copy can be made, the target uses the user's.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Copies the registry that a program started with `environ` would use."""
        self._variable = next((name for name in _REGISTRY_VARIABLES if name in environ), "")
        source = Path(environ[self._variable]) if self._variable else _default_registry(environ)
        self._folder: Path | None = None
        self._folders = contextlib.ExitStack()
        self._file = source
        try:
            self._folder = self._new_folder()
            copy = self._folder / "registry.bin"
            if source.is_file():
                shutil.copyfile(source, copy)
            self._file = copy
        except OSError:
            pass
        self._before = _identity(self._file)

    def __enter__(self) -> Self:
        """Nothing to do."""
        return self

    def __exit__(self, *_: object) -> None:
        """Removes the copy, and the link."""
        self._folders.close()

    def _new_folder(self, parent: str | None = None) -> Path:
        folder = tempfile.mkdtemp(prefix="gst-pyro-", dir=parent)
        self._folders.callback(shutil.rmtree, folder, ignore_errors=True)
        return Path(folder)

    def place(self, environ: dict[str, str], shim: Path) -> Path:
        """Points `environ` at the copy; returns the path to preload.

        Where the loader would split or expand the path in LD_PRELOAD, a link in another folder takes its place.

        Raises:
            NotBuiltError: no folder takes such a link.
        """
        if self._file.parent == self._folder:
            environ[self._variable or "GST_REGISTRY"] = str(self._file)
        if paths.is_preloadable(shim):
            return shim
        for parent in (None, *_OTHER_TMPDIRS):
            with contextlib.suppress(OSError):
                link = self._new_folder(parent) / shim.name
                if paths.is_preloadable(link):
                    link.symlink_to(shim)
                    return link
        raise paths.not_preloadable(
            shim,
            "Set TMPDIR to a folder in which a link can be made, or put the package under another path.",
        )

    @property
    def was_written(self) -> bool:
        """Whether GStreamer has written the registry since the copy was made."""
        return _identity(self._file) != self._before

    @property
    def has_tracer(self) -> bool:
        """Whether the registry knows our plugin."""
        try:
            return paths.SHIM_NAME.encode() in self._file.read_bytes()
        except OSError:
            return False


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_ino, status.st_mtime_ns, status.st_size)


def _default_registry(environ: Mapping[str, str]) -> Path:
    # Not Path.expanduser, which raises for a user who has no home.
    home = environ.get("HOME") or os.path.expanduser("~")  # noqa: PTH111
    folder = Path(environ.get("XDG_CACHE_HOME") or f"{home}/.cache") / "gstreamer-1.0"
    return folder / f"registry.{platform.machine()}.bin"
