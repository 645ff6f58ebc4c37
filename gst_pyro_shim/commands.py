# SPDX-License-Identifier: MIT
"""What the command line can do: one class a subcommand, its docstring its help.

A subcommand imports what it needs when it runs: `path` stands in front of other people's commands and must not pay for
the rest.

Context: controller.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path
from typing import Final, Protocol

from gst_pyro_shim import paths
from gst_pyro_shim.errors import GstPyroError

PROGRAM: Final = "gst-pyro-shim"


class Subcommand(Protocol):
    """One subcommand; its name is the class's, lowered, and its help the class's docstring."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declares its arguments."""

    def __call__(self, arguments: argparse.Namespace) -> int:
        """Does it; returns the exit status.

        Raises:
            GstPyroError: `main` reports it.
        """


class Run:
    """Run a command under the profiler, then print what its elements cost.

    The command's streams, signals and exit status are its own; 3 where it ended well but its profile
    could not be written. With --server-url, or with GST_PYROSCOPE_SERVER_URL set, profiles go to that
    Pyroscope server as well.
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """A flag for each setting, so that none is missing and none is described twice."""
        from gst_pyro_shim.settings import model

        parser.usage = "%(prog)s [options] -- COMMAND [ARGUMENT ...]"
        for field, info in model.Settings.model_fields.items():
            names = ["-o"] if field == "output" else []
            text = f"{info.description} Allowed: {model.allowed(field)}. Default: {model.shown_default(field)}."
            parser.add_argument(
                *names,
                f"--{model.kebab(field)}",
                dest=f"setting_{field}",
                metavar="FILE" if field == "output" else "VALUE",
                help=text.replace("%", "%%").replace("`", ""),
            )
        parser.add_argument(
            "-f",
            "--force",
            action="store_true",
            help="replace an output file that is there already",
        )
        parser.add_argument("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)

    def __call__(self, arguments: argparse.Namespace) -> int:
        """Hands over to run/runner.py."""
        from gst_pyro_shim.run import runner

        command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
        if not command or not command[0]:
            raise GstPyroError(
                "There is no command to run.",
                f"For example: {PROGRAM} run -- gst-launch-1.0 videotestsrc ! fakesink",
            )
        _warn_of_unknown_variables()
        flags = {
            name.removeprefix("setting_"): value
            for name, value in vars(arguments).items()
            if name.startswith("setting_") and value is not None
        }
        return runner.run(command, flags, force=arguments.force)


class Report:
    """Print the table of a profile again, as `run` did at its end."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """The file, and its form."""
        parser.usage = "%(prog)s [--by thread|factory|pipeline] [--all] [--json] FILE"
        parser.add_argument(
            "file", metavar="FILE", type=Path, help="a .pb.gz that run, or the agent, has written"
        )
        parser.add_argument(
            "--json", action="store_true", help="for machines: all figures as one JSON object"
        )
        parser.add_argument(
            "--by",
            metavar="LABEL",
            choices=("element", "thread", "factory", "pipeline"),
            default="element",
            help="add CPU up by thread, factory or pipeline, and name the elements behind each",
        )
        parser.add_argument(
            "--all",
            action="store_true",
            help="every row, however many there are; JSON has all in any case",
        )

    def __call__(self, arguments: argparse.Namespace) -> int:
        """Hands over to views/report.py, or views/report_by.py."""
        from gst_pyro_shim.views import report, report_by

        form = {"as_json": arguments.json, "every_row": arguments.all}
        if arguments.by in report_by.LABELS:
            return report_by.main(arguments.file, arguments.by, **form)
        return report.main(arguments.file, **form)


class Flamegraph:
    """Write a profile as one HTML page: a flame graph with the elements in it, needing no network."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """From what, to what."""
        _add_view(parser, "page", "FILE.html", "default: beside FILE")

    def __call__(self, arguments: argparse.Namespace) -> int:
        """Hands over to views/flamegraph.py."""
        from gst_pyro_shim.views import flamegraph

        return flamegraph.main(arguments.file, arguments.output, force=arguments.force)


class Graph:
    """Draw a profile's pipelines, each element in the colour of its share of the CPU. Needs Graphviz."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """From what, to what."""
        kinds = "or .png, .pdf, or .dot for Graphviz's own text; default: beside FILE"
        _add_view(parser, "picture", "FILE.svg", kinds)

    def __call__(self, arguments: argparse.Namespace) -> int:
        """Hands over to views/graph.py."""
        from gst_pyro_shim.views import graph

        return graph.main(arguments.file, arguments.output, force=arguments.force)


class Path_:  # noqa: N801 (the subcommand is called path)
    """Print where libgstpyro.so is: LD_PRELOAD=$(gst-pyro-shim path) COMMAND."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Which of the two paths."""
        parser.add_argument(
            "--plugin-dir", action="store_true", help="its directory instead, for GST_PLUGIN_PATH"
        )

    def __call__(self, arguments: argparse.Namespace) -> int:
        """Prints one line; that it is of no use is said on stderr, past the `$(...)`."""
        shim = paths.shim_path()
        paths.write_record()
        if not arguments.plugin_dir and not paths.is_preloadable(shim):
            print(f"{PROGRAM}: {paths.not_preloadable(shim, paths.USE_A_LINK)}", file=sys.stderr)
        print(shim.parent if arguments.plugin_dir else shim)
        return 0


class Env:
    """Print the variables that put the profiler into every GStreamer program: eval "$(gst-pyro-shim env)"."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """None."""

    def __call__(self, arguments: argparse.Namespace) -> int:  # noqa: ARG002
        """Prints lines for a POSIX shell; what the environment has is kept and added to."""
        value = paths.preload(os.environ.get("LD_PRELOAD", ""))
        paths.write_record()
        print(f"export LD_PRELOAD={shlex.quote(value)}")
        print(f"export GST_PYROSCOPE_PYTHON={shlex.quote(paths.python_path())}")
        return 0


class Install:
    """Put libgstpyro.so where the loader looks, so that LD_PRELOAD=libgstpyro.so works. Needs root."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Where to."""
        _add_libdir(parser)

    def __call__(self, arguments: argparse.Namespace) -> int:
        """Prints what was put there."""
        from gst_pyro_shim import install

        for path in install.install(arguments.libdir):
            print(f"installed {path}")
        return 0


class Uninstall:
    """Remove what `install` has put where the loader looks, and nothing else. Needs root."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Where from."""
        _add_libdir(parser)

    def __call__(self, arguments: argparse.Namespace) -> int:
        """Prints what was removed."""
        from gst_pyro_shim import install

        removed = install.uninstall(arguments.libdir)
        for path in removed:
            print(f"removed {path}")
        if not removed:
            print("nothing is installed")
        return 0


SUBCOMMANDS: dict[str, Subcommand] = {
    "run": Run(),
    "report": Report(),
    "flamegraph": Flamegraph(),
    "graph": Graph(),
    "path": Path_(),
    "env": Env(),
    "install": Install(),
    "uninstall": Uninstall(),
}


def _add_view(parser: argparse.ArgumentParser, view: str, output: str, text: str) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="a .pb.gz")
    parser.add_argument("-o", "--output", metavar=output, type=Path, help=text)
    parser.add_argument(
        "-f", "--force", action="store_true", help=f"replace a {view} that is there already"
    )


def _add_libdir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--libdir", type=Path, metavar="DIR", help="a directory that the loader searches"
    )


def _warn_of_unknown_variables() -> None:
    import difflib

    from gst_pyro_shim.settings import model

    known = [model.env_name(field) for field in model.Settings.model_fields]
    for name in model.unknown_variables(os.environ):
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        print(f"{PROGRAM}: {name} is no setting{hint}", file=sys.stderr)
