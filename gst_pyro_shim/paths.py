# SPDX-License-Identifier: MIT
"""Where the native parts are, and the record from which the shim learns which Python its agent runs on.

The record is the file `agent-python.txt` beside the agent library. `make`, `path`, `env`, `run` and
`install` write it; agent_python.c and embedding.c of csrc/ read it. It has one value a line, paths as their bytes:

    1  absolute path of the Python executable
    2  absolute path of the shared libpython
    3  sys.path entries that hold this package and its dependencies, separated by ":"
    4  absolute path of libgstpyro-agent.so

The shim finds the record from its own real path: one directory up from `libgstpyro.so`.

Context: controller, build. Standard library only.
"""

import contextlib
import os
import re
import shlex
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gst_pyro_shim.errors import NotBuiltError

SHIM_NAME = "libgstpyro.so"
AGENT_NAME = "libgstpyro-agent.so"
PLUGIN_DIR_NAME = "plugin"
RECORD_NAME = "agent-python.txt"

USE_A_LINK = (
    "Use `run` or `install`, which preload a link to it, or put the package under another path."
)

_SPLIT_OR_EXPANDED = re.compile(r"[ :$]")
_LIBPYTHON_MAPPING = re.compile(r"\s(/\S*/libpython\d[^/\s]*\.so[^/\s]*)$", re.MULTILINE)


def package_dir() -> Path:
    """The directory of the package itself, symbolic links resolved."""
    return Path(__file__).resolve().parent


def plugin_dir() -> Path:
    """The directory to put on GST_PLUGIN_PATH; GStreamer scans it recursively, so it holds nothing but the shim."""
    return package_dir() / PLUGIN_DIR_NAME


def shim_path() -> Path:
    """The file to preload.

    Raises:
        NotBuiltError: the file does not exist.
    """
    return _built(plugin_dir() / SHIM_NAME)


def agent_path() -> Path:
    """The embedding library, dlopened by the shim.

    Raises:
        NotBuiltError: the file does not exist.
    """
    return _built(package_dir() / AGENT_NAME)


def _built(path: Path) -> Path:
    if not path.is_file():
        raise NotBuiltError(
            f"{path} does not exist: the native parts are not built.",
            "In a source tree run `make build`; else install the package again: `pip install --force-reinstall .`",
        )
    return path


def is_preloadable(path: Path) -> bool:
    """Whether a path can be in LD_PRELOAD: the loader splits that at blanks and colons, and expands "$ORIGIN"."""
    return not _SPLIT_OR_EXPANDED.search(str(path))


def not_preloadable(path: Path, hint: str) -> NotBuiltError:
    """The error for a path that is not `is_preloadable`, with a hint."""
    text = f"{path} cannot be in LD_PRELOAD: the loader splits that at blanks and colons, and expands $."
    return NotBuiltError(text, hint)


def preload(existing: str) -> str:
    """The value of LD_PRELOAD with the shim in it.

    Args:
        existing: the value so far. Its entries stay, and stay first.

    Raises:
        NotBuiltError: there is no shim, or its path is not `is_preloadable`.
    """
    shim = shim_path()
    if not is_preloadable(shim):
        raise not_preloadable(shim, USE_A_LINK)
    entries = [entry for entry in re.split(r"[ :]+", existing) if entry and entry != str(shim)]
    return ":".join([*entries, str(shim)])


def python_path() -> str:
    """The running Python, links not resolved: Python knows a virtual environment by the path of its bin/python."""
    return os.path.abspath(sys.executable)


def command() -> str:
    """A shell command that runs this package. It says `python` only if that is this Python."""
    python = python_path()
    if shutil.which("python") == python:
        return "python -m gst_pyro_shim"
    with contextlib.suppress(OSError):  # the working directory may be gone
        python = python.removeprefix(f"{Path.cwd()}/")
    return f"{shlex.quote(python)} -m gst_pyro_shim"


def libpython_path() -> Path | None:
    """The shared libpython of the running Python; None where it has none, or it is not installed."""
    name = sysconfig.get_config_var("INSTSONAME")
    if isinstance(name, str) and ".so" in name:
        for directory in _libpython_dirs():
            candidate = Path(directory) / name
            if candidate.is_file():
                return candidate
    return _mapped_libpython()


def _libpython_dirs() -> Iterator[str]:
    for variable in ("LIBDIR", "LIBPL"):
        value = sysconfig.get_config_var(variable)
        if isinstance(value, str):
            yield value
    # In a relocated Python (uv's are) LIBDIR is a directory of the machine that built it.
    yield f"{sys.base_prefix}/lib"
    multiarch = sysconfig.get_config_var("MULTIARCH")
    if isinstance(multiarch, str):
        yield f"{sys.base_prefix}/lib/{multiarch}"


def _mapped_libpython() -> Path | None:
    """The libpython that this process has loaded; None where the executable contains all of Python."""
    try:
        maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    found = _LIBPYTHON_MAPPING.search(maps)
    return Path(found[1]) if found else None


def site_entries() -> list[str]:
    """The sys.path entries that the agent needs: the package's own, then every directory of installed packages."""
    entries = [str(package_dir().parent)]
    for entry in sys.path:
        path = Path(entry)
        if path.name in {"site-packages", "dist-packages"} and path.is_dir():
            entries.append(str(path.resolve()))
    return list(dict.fromkeys(entries))


def record_text(agent: Path) -> str:
    """The record for the running Python.

    Args:
        agent: where libgstpyro-agent.so is.
    """
    libpython = libpython_path()
    lines = [python_path(), str(libpython or ""), os.pathsep.join(site_entries()), str(agent)]
    return "".join(f"{line}\n" for line in lines)


def write_record(path: Path | None = None) -> bool:
    """Writes the record, unless it is there already with the same content.

    Args:
        path: the file; beside the agent library unless given.

    Returns:
        Whether the record is up to date. A directory that cannot be written (a system-wide
        installation) is no error: the shim then uses `GST_PYROSCOPE_PYTHON`, or the pyvenv.cfg
        above its own file.
    """
    path = path or package_dir() / RECORD_NAME
    text = record_text(package_dir() / AGENT_NAME)
    try:
        if path.is_file() and path.read_text("utf-8", "surrogateescape") == text:
            return True
        replace_file(path, text)
    except OSError:
        return False
    return True


def replace_file(path: Path, text: str) -> None:
    """Writes a text file that everybody can read, by a rename: readers see the old content or the new, never a part."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
