# SPDX-License-Identifier: MIT
"""The subcommands of the command line, one class each.

A new subcommand is a new class here: its name is the class's in lower case, its help the class's docstring.

A subcommand imports what it needs when it runs. `path` runs in front of other people's commands, and must not wait for
the imports of the others.

Context: controller.
"""

from __future__ import annotations

import abc
import argparse
import os
import pathlib
import shlex
import sys
from typing import Final

from gst_pyro_shim import paths
from gst_pyro_shim.errors import GstPyroError

PROGRAM: Final = "gst-pyro-shim"
SUBCOMMANDS: Final[dict[str, Subcommand]] = {}
"""By name, in the order of the help: that of the classes below."""


class Subcommand(abc.ABC):
    """Base of all subcommands; a class that is derived from it is one."""

    def __init_subclass__(cls) -> None:
        SUBCOMMANDS[cls.__name__.lower()] = cls()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:  # noqa: B027 (most, not all, have some)
        """Declares the arguments; none unless overridden."""

    @abc.abstractmethod
    def __call__(self, arguments: argparse.Namespace) -> int:
        """Runs the subcommand.

        Returns:
            The exit status.

        Raises:
            GstPyroError: reported by `main`.
        """


class Run(Subcommand):
    """Run a command under the profiler, then print what its elements cost.

    Streams, signals and exit status are the command's own. The status is 3 if the command succeeded but
    its profile could not be written. With --server-url, or with GST_PYROSCOPE_SERVER_URL set, profiles go
    to that Pyroscope server as well.
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """A flag for each setting of the model, which describes it."""
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
            help="replace the output file if it exists",
        )
        parser.add_argument("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)

    def __call__(self, arguments: argparse.Namespace) -> int:
        """Calls run/runner.py."""
        from gst_pyro_shim.run import runner

        command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
        if not command or not command[0]:
            raise GstPyroError(
                "There is no command to run.",
                f"Put one behind `--`, for example: {PROGRAM} run -- gst-launch-1.0 videotestsrc ! fakesink",
            )
        _warn_of_unknown_variables()
        flags = {
            name.removeprefix("setting_"): value
            for name, value in vars(arguments).items()
            if name.startswith("setting_") and value is not None
        }
        return runner.run(command, flags, force=arguments.force)


class Report(Subcommand):
    """Print a profile as a table, as `run` does at its end."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """The file, and what to print of it."""
        parser.usage = "%(prog)s [--by thread|factory|pipeline] [--all] [--json] FILE"
        parser.add_argument(
            "file",
            metavar="FILE",
            type=pathlib.Path,
            help="a .pb.gz that `run` or the agent has written",
        )
        parser.add_argument(
            "--json",
            action="store_true",
            help="print all figures as one JSON object, for other programs",
        )
        parser.add_argument(
            "--by",
            metavar="LABEL",
            choices=("element", "thread", "factory", "pipeline"),
            default="element",
            help="sum CPU time by thread, factory or pipeline, and name the elements behind each",
        )
        parser.add_argument(
            "--all",
            action="store_true",
            help="print every row; without it a long table ends in a sum. JSON always has all",
        )

    def __call__(self, arguments: argparse.Namespace) -> int:
        """Calls views/report.py, or views/report_by.py."""
        from gst_pyro_shim.views import report, report_by

        form = {"as_json": arguments.json, "every_row": arguments.all}
        if arguments.by in report_by.LABELS:
            return report_by.main(arguments.file, arguments.by, **form)
        return report.main(arguments.file, **form)


class Flamegraph(Subcommand):
    """Write a profile as one HTML page: a flame graph that shows the elements and needs no network."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """The profile, and the page."""
        _add_view(parser, "page", "FILE.html", "where to write it; default: beside FILE")

    def __call__(self, arguments: argparse.Namespace) -> int:
        """Calls views/flamegraph.py."""
        from gst_pyro_shim.views import flamegraph

        return flamegraph.main(arguments.file, arguments.output, force=arguments.force)


class Graph(Subcommand):
    """Draw a profile's pipelines, each element coloured by its share of the CPU time. Needs Graphviz."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """The profile, and the picture."""
        kinds = "where to draw it: .svg, .png or .pdf, or .dot for Graphviz's own text; default: .svg beside FILE"
        _add_view(parser, "picture", "FILE.svg", kinds)

    def __call__(self, arguments: argparse.Namespace) -> int:
        """Calls views/graph.py."""
        from gst_pyro_shim.views import graph

        return graph.main(arguments.file, arguments.output, force=arguments.force)


class Path(Subcommand):
    """Print where libgstpyro.so is: LD_PRELOAD=$(gst-pyro-shim path) COMMAND."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Which of the two paths to print."""
        parser.add_argument(
            "--plugin-dir", action="store_true", help="print its directory, for GST_PLUGIN_PATH"
        )

    def __call__(self, arguments: argparse.Namespace) -> int:
        """Prints one line. A warning goes to stderr, which a `$(...)` does not take."""
        shim = paths.shim_path()
        paths.write_record()
        if not arguments.plugin_dir and not paths.is_preloadable(shim):
            print(f"{PROGRAM}: {paths.not_preloadable(shim, paths.USE_A_LINK)}", file=sys.stderr)
        print(shim.parent if arguments.plugin_dir else shim)
        return 0


class Env(Subcommand):
    """Print the variables that profile every GStreamer program of a shell: eval "$(gst-pyro-shim env)"."""

    def __call__(self, arguments: argparse.Namespace) -> int:  # noqa: ARG002
        """Prints lines for a POSIX shell. What LD_PRELOAD holds already stays in it."""
        value = paths.preload(os.environ.get("LD_PRELOAD", ""))
        paths.write_record()
        print(f"export LD_PRELOAD={shlex.quote(value)}")
        print(f"export GST_PYROSCOPE_PYTHON={shlex.quote(paths.python_path())}")
        return 0


class Install(Subcommand):
    """Install libgstpyro.so where the loader looks, so that LD_PRELOAD=libgstpyro.so works. Needs root."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Where to install."""
        _add_libdir(parser)

    def __call__(self, arguments: argparse.Namespace) -> int:
        """Prints each file that was installed."""
        from gst_pyro_shim import install

        for path in install.install(arguments.libdir):
            print(f"installed {path}")
        return 0


class Uninstall(Subcommand):
    """Remove what `install` has installed, and nothing else. Needs root."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Where to look."""
        _add_libdir(parser)

    def __call__(self, arguments: argparse.Namespace) -> int:
        """Prints each file that was removed."""
        from gst_pyro_shim import install

        removed = install.uninstall(arguments.libdir)
        for path in removed:
            print(f"removed {path}")
        if not removed:
            print("nothing is installed")
        return 0


def _add_view(parser: argparse.ArgumentParser, view: str, output: str, text: str) -> None:
    parser.add_argument(
        "file",
        metavar="FILE",
        type=pathlib.Path,
        help="a .pb.gz that `run` or the agent has written",
    )
    parser.add_argument("-o", "--output", metavar=output, type=pathlib.Path, help=text)
    parser.add_argument(
        "-f", "--force", action="store_true", help=f"replace the {view} if it exists"
    )


def _add_libdir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--libdir", type=pathlib.Path, metavar="DIR", help="a directory that the loader searches"
    )


def _warn_of_unknown_variables() -> None:
    import difflib

    from gst_pyro_shim.settings import model

    known = [model.env_name(field) for field in model.Settings.model_fields]
    for name in model.unknown_variables(os.environ):
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        print(f"{PROGRAM}: {name} is no setting and is ignored{hint}", file=sys.stderr)
