# SPDX-License-Identifier: MIT
"""What a build needs of the system, and the command that installs what is missing.

Context: build. Environment: CC.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from gst_pyro_shim import paths
from gst_pyro_shim.errors import BuildError


@dataclass(frozen=True, slots=True)
class Requirement:
    """Something of the system that the build needs."""

    what: str
    apt: str
    dnf: str
    pacman: str


COMPILER = Requirement("a C compiler (cc)", "build-essential", "gcc", "gcc")
PKG_CONFIG = Requirement("pkg-config", "pkg-config", "pkgconf-pkg-config", "pkgconf")
GSTREAMER = Requirement(
    "the GStreamer headers", "libgstreamer1.0-dev", "gstreamer1-devel", "gstreamer"
)
LIBDW = Requirement("the libdw headers (elfutils)", "libdw-dev", "elfutils-devel", "elfutils")
LIBIBERTY = Requirement("libiberty (binutils)", "libiberty-dev", "binutils-devel", "binutils")
PYTHON_HEADERS = Requirement("the Python headers", "python3-dev", "python3-devel", "python")
LIBPYTHON = Requirement("a shared libpython", "libpython3-dev", "python3-devel", "python")
MANAGERS = {"apt": "apt-get install -y", "dnf": "dnf install -y", "pacman": "pacman -S --needed"}


def missing_requirements() -> list[Requirement]:
    """What the system lacks for a build, in the order in which the build would meet it."""
    include = Path(sysconfig.get_path("include"))
    have = {
        COMPILER: shutil.which(compiler_command()[0]) is not None,
        PKG_CONFIG: shutil.which("pkg-config") is not None,
        GSTREAMER: pkg_config("--exists", "gstreamer-1.0") is not None,
        LIBDW: pkg_config("--exists", "libdw") is not None,
        LIBIBERTY: _has_libiberty(),
        PYTHON_HEADERS: (include / "Python.h").is_file(),
        LIBPYTHON: paths.libpython_path() is not None,
    }
    return [requirement for requirement, found in have.items() if not found]


def check_requirements() -> None:
    """Refuses a build that cannot succeed.

    Raises:
        BuildError: names everything that is missing, with the command that installs it.
    """
    missing = missing_requirements()
    if not missing:
        return
    hints = []
    # A Python that no distribution package brought (pyenv, a build of one's own) has its headers and its
    # libpython from where it came from.
    foreign = {PYTHON_HEADERS, LIBPYTHON} if not _is_distribution_python() else set()
    packages = [requirement for requirement in missing if requirement not in foreign]
    if packages:
        hints.append(_install_command(packages))
    if foreign.intersection(missing):
        hints.append(_python_command())
    message = "cannot build the native parts without " + ", ".join(item.what for item in missing)
    raise BuildError(message, "\n".join(hints))


def _has_libiberty() -> bool:
    """Whether the compiler finds it: it has no pkg-config file."""
    command = [*compiler_command(), "-print-file-name=libiberty.a"]
    if shutil.which(command[0]) is None:
        return False
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return Path(done.stdout.strip()).is_file()


def _is_distribution_python() -> bool:
    return Path(sys.base_prefix) == Path("/usr")


def _install_command(packages: list[Requirement]) -> str:
    sudo = "" if os.geteuid() == 0 else "sudo "
    present = [name for name in MANAGERS if shutil.which(MANAGERS[name].split()[0])]
    lines = []
    for manager in present or MANAGERS:
        names = " ".join(dict.fromkeys(getattr(item, manager) for item in packages))
        lines.append(f"install them: {sudo}{MANAGERS[manager]} {names}")
    return "\n".join(lines)


def _python_command() -> str:
    version = sysconfig.get_python_version()
    full = sys.version.split()[0]
    if ".pyenv" in sys.base_prefix:
        remedy = f"PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install --force {full}"
    else:
        remedy = f"configure --enable-shared, or take another Python: uv python install {version}"
    return f"{sys.base_prefix} has no shared libpython{version}; build it with one: {remedy}"


def compiler_command() -> list[str]:
    """The C compiler, CC's words."""
    return shlex.split(os.environ.get("CC", "")) or ["cc"]


def pkg_config(*arguments: str) -> list[str] | None:
    """The words pkg-config answers; None where it fails or is not there."""
    try:
        done = subprocess.run(
            ["pkg-config", *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return shlex.split(done.stdout)
