# SPDX-License-Identifier: MIT
"""Builds the three native parts, and is the PEP 517 backend that pip and uv call.

    plugin/libgstpyro.so      the shim: plain C, linked with nothing but libc
    libgstpyro-agent.so       the agent's way into an embedded Python (cffi embedding)
    _native.*.so              the agent's view of the shared segment, and its symbolizer (cffi API mode)

cffi reads the declarations from the very headers that the C compiler reads.

    python build_shim.py [--verbose] [--sanitize=address,undefined] [OUT_DIR]

Context: build. Environment: CC, CFLAGS and LDFLAGS as usual; GP_WERROR=1 makes warnings errors.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cffi

# The hooks of PEP 517 and PEP 660, as they are; only the command build_ext is ours.
from setuptools.build_meta import (  # noqa: F401
    build_editable,
    build_sdist,
    build_wheel,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)
from setuptools.command.build_ext import build_ext

from build_native.requirements import check_requirements, pkg_config
from build_native.toolchain import CLOSED, Toolchain
from gst_pyro_shim import __version__, paths
from gst_pyro_shim.errors import BuildError, GstPyroError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parent
CSRC = ROOT / "csrc"
OBJECTS = ROOT / "build" / "objects"
PACKAGE = ROOT / "gst_pyro_shim"

AGENT_MODULE = "_gstpyro_agent"
# csrc/shim/ is the shim, csrc/agent/ what the agent has of its own, csrc/shared/ what both read.
SHIM = CSRC / "shim"
SIGNAL = SHIM / "signal"
AGENT = CSRC / "agent"
EMBEDDING_SOURCE = AGENT / "embedding.c"
EMBEDDING_HEADER = AGENT / "embedding.h"
NATIVE_SOURCES = tuple(path for path in sorted(AGENT.glob("*.c")) if path != EMBEDDING_SOURCE)
NATIVE_HEADERS = (CSRC / "shared" / "abi.h", AGENT / "reader.h", AGENT / "symbolizer.h")

# What cffi generates is not written to please -Wextra.
GENERATED_WARNINGS = ("-Wall", "-Wno-unused-function")
# initial-exec: a handler must not meet __tls_get_addr, which may allocate. No fortification and no stack
# protector: their helpers would be calls out of the handler that nobody wrote.
SHIM_FLAGS = (
    "-ftls-model=initial-exec",
    "-U_FORTIFY_SOURCE",
    "-fno-stack-protector",
    f'-DGP_VERSION="{__version__}"',
)
SHIM_LINK_FLAGS = (
    CLOSED,
    "-Wl,-z,nodelete",
    f"-Wl,-soname,{paths.SHIM_NAME}",
    "-lpthread",
    "-ldl",
    "-lrt",
)


@dataclass(frozen=True, slots=True)
class Products:
    """The files that a build leaves, absolute paths."""

    shim: Path
    agent: Path
    native: Path

    @classmethod
    def under(cls, out_dir: Path) -> Products:
        """Where the products of a build into `out_dir` are."""
        return cls(
            shim=out_dir / paths.PLUGIN_DIR_NAME / paths.SHIM_NAME,
            agent=out_dir / paths.AGENT_NAME,
            native=out_dir / f"_native{sysconfig.get_config_var('EXT_SUFFIX')}",
        )


def sources() -> list[Path]:
    """The shim's own C files, all rooms of csrc/shim/."""
    return sorted(SHIM.glob("*/*.c"))


def shim_objects(tools: Toolchain, files: Sequence[Path] | None = None) -> list[Path]:
    """Objects of the shim, or of some of its files, exactly as the product has them."""
    headers = pkg_config("--cflags-only-I", "gstreamer-1.0") or []
    # System headers: their warnings are not ours to mend.
    headers = [word.replace("-I", "-isystem", 1) for word in headers]
    return tools.compile(files or sources(), flags=[*SHIM_FLAGS, f"-I{CSRC}", *headers])


def _build_shim(tools: Toolchain, target: Path) -> None:
    tools.link(shim_objects(tools), target, flags=SHIM_LINK_FLAGS)


def _build_agent(tools: Toolchain, target: Path) -> None:
    ffi = cffi.FFI()
    ffi.embedding_api(_declarations(EMBEDDING_HEADER))
    ffi.embedding_init_code((AGENT / "embedding_init.py").read_text(encoding="utf-8"))
    ffi.set_source(AGENT_MODULE, _includes(EMBEDDING_HEADER, EMBEDDING_SOURCE))
    libpython = paths.libpython_path()
    # The run path serves where the record that names libpython is not there yet.
    flags = [CLOSED, str(libpython), f"-Wl,-rpath,{libpython.parent}"] if libpython else []
    _link_cffi(tools, ffi, target, (), flags)


def _build_native(tools: Toolchain, target: Path) -> None:
    ffi = cffi.FFI()
    for header in NATIVE_HEADERS:
        ffi.cdef(_declarations(header))
    ffi.set_source("gst_pyro_shim._native", _includes(*NATIVE_HEADERS))
    libraries = [*(pkg_config("--libs", "libdw", "libelf") or []), "-liberty"]
    _link_cffi(tools, ffi, target, NATIVE_SOURCES, libraries)


def _link_cffi(
    tools: Toolchain, ffi: Any, target: Path, files: Sequence[Path], link_flags: Sequence[str]
) -> None:
    python = [f"-isystem{sysconfig.get_path(name)}" for name in ("include", "platinclude")]
    generated = tools.work_dir / f"{target.name.split('.')[0]}.c"
    with contextlib.redirect_stdout(io.StringIO()):  # "generating ..."
        ffi.emit_c_code(str(generated))
    objects = tools.compile([generated], flags=[f"-I{CSRC}", *python], warnings=GENERATED_WARNINGS)
    objects += tools.compile(files, flags=[f"-I{CSRC}"])
    tools.link(objects, target, flags=link_flags)


def _includes(*files: Path) -> str:
    return "".join(f'#include "{path.relative_to(CSRC)}"\n' for path in files)


def _declarations(header: Path) -> str:
    """A header as cffi reads it: without its '#' lines."""
    lines = header.read_text(encoding="utf-8").splitlines(keepends=True)
    return "".join("\n" if line.startswith("#") else line for line in lines)


@contextlib.contextmanager
def _objects() -> Iterator[Path]:
    """Where objects are kept for the next build; a folder for this one alone where the source cannot be written to."""
    try:
        OBJECTS.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=OBJECTS):
            pass
    except OSError:
        with tempfile.TemporaryDirectory(prefix="gst-pyro-build-") as work:
            yield Path(work)
        return
    yield OBJECTS


def build(out_dir: Path, *, sanitize: str | None = None, verbose: bool = False) -> Products:
    """Builds all three parts into a package directory.

    Args:
        out_dir: the directory that is, or becomes, `gst_pyro_shim/`.
        sanitize: value for -fsanitize=, for tests.
        verbose: print each command.

    Raises:
        BuildError: something is missing, or the compiler refused.
    """
    check_requirements()
    if verbose:
        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    products = Products.under(out_dir.resolve())
    failures: list[BuildError] = []
    with _objects() as work_dir:
        tools = Toolchain(work_dir, sanitize=sanitize)
        for part, target in (
            (_build_shim, products.shim),
            (_build_agent, products.agent),
            (_build_native, products.native),
        ):
            try:
                part(tools, target)
            except BuildError as error:
                failures.append(error)
        if out_dir == PACKAGE and sanitize is None:
            tools.write_commands(ROOT / "compile_commands.json")
    if failures:
        raise BuildError("; ".join(error.message for error in failures), "see what it said above")
    return products


class BuildExt(build_ext):  # type: ignore[misc]
    """setuptools' command: the same build, for a wheel or, in place, for an editable installation."""

    def run(self) -> None:
        """Builds; a failure ends pip's or uv's build with our message as its last words."""
        try:
            build(self._out_dir(), verbose=bool(self.verbose))
        except GstPyroError as error:
            sys.exit(f"gst-pyro-shim: {error}")
        if not self.inplace:
            # Empty in the wheel, and known to the installer: so that it removes what is written there later.
            (self._out_dir() / paths.RECORD_NAME).touch()

    def _out_dir(self) -> Path:
        return PACKAGE if self.inplace else Path(self.build_lib) / PACKAGE.name

    def _outputs(self) -> Iterator[Path]:
        products = Products.under(self._out_dir())
        yield from (products.shim, products.agent, products.native)

    def get_outputs(self) -> list[str]:
        """The three products."""
        return [str(path) for path in self._outputs()]

    def get_output_mapping(self) -> dict[str, str]:
        """Nothing is copied: an editable build puts the products where they belong at once."""
        return {}

    def get_source_files(self) -> list[str]:
        """What a source distribution needs beyond the package."""
        native = [path for path in CSRC.rglob("*") if path.is_file()]
        extra = [*native, ROOT / "build_shim.py", *ROOT.glob("build_native/*.py")]
        return [str(path.relative_to(ROOT)) for path in sorted(extra)]


def main() -> int:
    """Builds into the source tree's package, or into a directory of one's own."""
    parser = argparse.ArgumentParser(prog="build_shim.py", description="Build the native parts.")
    parser.add_argument("out_dir", nargs="?", type=Path, default=PACKAGE, metavar="OUT_DIR")
    parser.add_argument("--sanitize", metavar="LIST", help="value for -fsanitize=, for tests")
    parser.add_argument("--verbose", action="store_true", help="print each command")
    arguments = parser.parse_args()
    try:
        build(arguments.out_dir, sanitize=arguments.sanitize, verbose=arguments.verbose)
    except GstPyroError as error:
        print(f"gst-pyro-shim: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
