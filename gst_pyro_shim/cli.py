# SPDX-License-Identifier: MIT
"""The command line: parses it, runs the subcommand, and turns each known error into a message and an exit status.

Context: controller.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING

from gst_pyro_shim import __version__
from gst_pyro_shim.commands import PROGRAM, SUBCOMMANDS
from gst_pyro_shim.errors import GstPyroError
from gst_pyro_shim.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gst_pyro_shim.commands import Subcommand

_INTERRUPTED = 130  # what a shell reports: 128 + SIGINT


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one subcommand.

    Args:
        argv: the arguments, without the program; those of sys.argv unless given.

    Returns:
        The exit status.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    _open_stdout()
    try:
        arguments = _parse(argv)
        subcommand: Subcommand = SUBCOMMANDS[arguments.subcommand]
        code = subcommand(arguments)
        sys.stdout.flush()
    except GstPyroError as error:
        _complain(error.message, *error.hint.splitlines())
        return error.exit_code
    except BrokenPipeError:  # whoever reads our output, `head` for one, has ended
        _drop_output()
        return 0
    except OSError as error:
        place = f" for {error.filename}" if error.filename else ""
        _complain(f"The system reports an error{place}: {error.strerror or error}.")
        _drop_output()
        return GstPyroError.exit_code
    except KeyboardInterrupt:
        return _INTERRUPTED
    return code


def _open_stdout() -> None:
    """Opens /dev/null where stdout is closed; else has it write paths as the bytes that they are."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  until the end
    elif isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")


def _drop_output() -> None:
    """Sends what is still buffered to /dev/null. Python would write it at its end, and print an error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(message: str, *hints: str) -> None:
    for line in (f"{PROGRAM}: {message}", *hints):
        print(printable(line), file=sys.stderr)


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Which GStreamer element burns the CPU, in which function, on which thread.",
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    subcommands = parser.add_subparsers(dest="subcommand", metavar="SUBCOMMAND", required=True)
    subs = {}
    chosen = argv[0] if argv else ""
    for name, subcommand in SUBCOMMANDS.items():
        text = cleandoc(subcommand.__doc__ or "").replace("%", "%%")
        sub = subcommands.add_parser(
            name,
            help=text.splitlines()[0],
            description=text,
            allow_abbrev=False,
            formatter_class=_Help,
        )
        if name == chosen:  # those of `run` need pydantic, which is slow to import
            subcommand.add_arguments(sub)
        subs[name] = sub
    try:
        arguments, unknown = parser.parse_known_args(argv)
    except SystemExit:  # --help; a failure to write it is only noticed here
        sys.stdout.flush()
        raise
    if unknown:  # reported with the usage of the subcommand, not of the whole program
        subs[arguments.subcommand].error(f"unrecognized arguments: {' '.join(unknown)}")
    return arguments


class _Help(argparse.HelpFormatter):
    """Wide enough for the longest flag and its help on one line."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30)
