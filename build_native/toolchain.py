# SPDX-License-Identifier: MIT
"""How a native part is compiled and linked: setuptools' compiler class, with our flags and not Python's.

A file is compiled where its object is missing, or not younger than the file and all headers that the compiler read for
it. Objects of other commands (flags, compiler) lie in folders of their own.

Context: build. Environment: CFLAGS and LDFLAGS as usual; GP_WERROR=1 makes warnings errors.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

# Before distutils, which it brings along.
from setuptools.errors import CompileError, LinkError

from build_native.requirements import compiler_command
from gst_pyro_shim.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMON_FLAGS = ("-std=gnu11", "-g", "-fPIC", "-fvisibility=hidden", "-fno-omit-frame-pointer")
WARNINGS = ("-Wall", "-Wextra", "-Wshadow", "-Wvla", "-Wstrict-prototypes", "-Wmissing-prototypes")
# now: no lazy binding inside the handler. nodelete: a handler may be in flight when a plugin is unloaded.
LINK_FLAGS = ("-Wl,-z,now", "-Wl,-z,relro", "-Wl,--as-needed")
# Of the three, only _native may leave names open: the interpreter that imports it has them.
CLOSED = "-Wl,-z,defs"


class Toolchain:
    """Compiles and links with one set of flags, through setuptools' Unix compiler.

    Args:
        work_dir: where objects and generated sources go.
        sanitize: value for -fsanitize=; such a build is for tests and optimizes less.
    """

    def __init__(self, work_dir: Path, *, sanitize: str | None = None) -> None:
        # Not at the top: setuptools brings its own distutils, and has to be imported first.
        from distutils.ccompiler import new_compiler

        self.work_dir = work_dir
        command = compiler_command()
        self.flags = [*COMMON_FLAGS, "-O1" if sanitize else "-O2"]
        # GP_DEBUG: GP_ASSERT_NOT_IN_SIGNAL() aborts where it finds a fault.
        checks = [f"-fsanitize={sanitize}", "-fno-sanitize-recover=all", "-DGP_DEBUG"]
        self.sanitize = checks if sanitize else []
        # Not with a sanitizer: gcc warns of fences that TSan does not know; all that is shared is atomic besides.
        strict = os.environ.get("GP_WERROR") == "1" and sanitize is None
        self.werror = ["-Werror"] if strict else []
        self.user_cflags = shlex.split(os.environ.get("CFLAGS", ""))
        self.user_ldflags = shlex.split(os.environ.get("LDFLAGS", ""))
        self.commands: dict[str, list[str]] = {}
        self.command = command
        self.version = _version_of(command)
        self.compiler = new_compiler(compiler="unix")
        self.compiler.set_executables(
            compiler_so=shlex.join(command), linker_so=shlex.join([*command, "-shared"])
        )

    def compile(
        self,
        files: Sequence[Path],
        *,
        flags: Sequence[str] = (),
        warnings: Sequence[str] = WARNINGS,
    ) -> list[Path]:
        """Objects of the files, compiled side by side.

        Raises:
            BuildError: the compiler refused; what it said is on stderr.
        """
        arguments = [
            *self.flags,
            *warnings,
            *self.werror,
            *flags,
            *self.sanitize,
            *self.user_cflags,
        ]
        command = [*self.command, *arguments]
        key = hashlib.sha256(json.dumps([self.version, *command]).encode()).hexdigest()[:16]
        folder = self.work_dir / key

        def one(file: Path) -> Path:
            place = hashlib.sha256(bytes(file.absolute())).hexdigest()[:8]
            target = folder / f"{file.stem}-{place}.o"
            rules = target.with_suffix(".d")
            self.commands[str(file)] = [*command, "-c", str(file), "-o", str(target)]
            if _is_current(target, rules):
                return target
            try:
                # Other builds may be at the same file: an object is whole once it has its name.
                with tempfile.TemporaryDirectory(dir=folder) as mine:
                    (built,) = self.compiler.compile(
                        [str(file)],
                        output_dir=mine,
                        extra_postargs=[*arguments, "-MD", "-MF", f"{mine}/rules"],
                    )
                    Path(mine, "rules").replace(rules)
                    return Path(built).replace(target)
            except CompileError as error:
                raise BuildError(f"the compiler refused {file.name}") from error

        folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(one, files))

    def link(self, objects: Sequence[Path], target: Path, *, flags: Sequence[str] = ()) -> None:
        """A shared object, put in place in one step: a running program may have the old one mapped.

        Raises:
            BuildError: the linker refused; what it said is on stderr.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        # An object built with a sanitizer leaves the runtime's names to the program.
        wanted = [flag for flag in (*LINK_FLAGS, *flags) if not (self.sanitize and flag == CLOSED)]
        try:
            self.compiler.link_shared_object(
                [str(item) for item in objects],
                str(temporary),
                extra_postargs=[*wanted, *self.sanitize, *self.user_ldflags],
            )
            temporary.replace(target)
        except LinkError as error:
            raise BuildError(f"the linker refused {target.name}") from error
        finally:
            temporary.unlink(missing_ok=True)

    def write_commands(self, target: Path) -> None:
        """The command of each file compiled so far, as clangd and clang-tidy read it (compile_commands.json)."""
        entries = [
            {"directory": str(target.parent), "file": file, "arguments": words}
            for file, words in sorted(self.commands.items())
        ]
        target.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")


def _version_of(command: Sequence[str]) -> str:
    """What the compiler says of itself; "" where it cannot be run, which the first compilation reports."""
    try:
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout


def _is_current(target: Path, rules: Path) -> bool:
    """Whether the object is younger than all that the compiler read for it, by the rule that it wrote for make."""
    try:
        built = target.stat().st_mtime_ns
        text = rules.read_text(encoding="utf-8").replace("\\\n", " ").partition(": ")[2]
        read = [word.replace("\\ ", " ") for word in re.split(r"(?<!\\)\s+", text) if word]
        # ctime: a package manager gives headers the time at which they were packed.
        return bool(read) and all(Path(name).stat().st_ctime_ns < built for name in read)
    except OSError:
        return False
