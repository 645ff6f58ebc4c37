# SPDX-License-Identifier: MIT
"""`report`: a profile as a table by element, with a footer that says how complete it is.

Context: controller. `run` prints the same table on stderr.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import TYPE_CHECKING, Final, TextIO

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from gst_pyro_shim.errors import ProfileFormatError
from gst_pyro_shim.pprof import files
from gst_pyro_shim.terminal import printable
from gst_pyro_shim.views.element_rows import short_file
from gst_pyro_shim.views.explanations import explanations
from gst_pyro_shim.views.summary import STACK_ENDS, Summary, summarize
from gst_pyro_shim.views.terminal_tables import NAME_WIDTH, as_text, kept, more, percent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.console import RenderableType

    from gst_pyro_shim.pprof.model import Profile
    from gst_pyro_shim.views.element_rows import Row

_NS: Final = 1e9
_NARROW: Final = 78
"""Columns of a terminal below which threads and samples are left out, to make room for names and times."""
_COMPACT: Final = 100
"""Columns of a terminal below which the headings are short, so that names need not be folded."""
_PYTHON_FUNCTIONS: Final = 8
"""Of one element. `--json` has all."""
_LEAST_PYTHON: Final = 0.002
"""Share of all CPU time, below which a Python function is not shown."""

_CLOCKS: Final = {
    "perf": "perf task-clock (for time in the kernel: CPU timers, bound to its tick)",
    "timer": (
        "CPU timers, bound to the kernel's tick: in live pipelines the shares of functions inside"
        " an element keep the tick's bias"
    ),
    "none": "none: no signal was free, or the kernel gave no timer. Times are exact, stacks are missing",
}
_ENDS: Final = {
    "cfi": "by CFI",
    "scan": "by verified scan",
    "guessed": "with a guessed frame",
    "boundary": "resumed at an element's boundary",
    "truncated": "truncated",
    "leaf_only": "leaf only",
}


def main(file: Path, *, as_json: bool = False, every_row: bool = False) -> int:
    """Prints the table, or the figures as JSON, on stdout.

    Args:
        file: a profile.
        as_json: JSON instead of a table.
        every_row: show all elements, however many there are.

    Raises:
        GstPyroError: the file cannot be read, is no profile, or not one of ours.
    """
    _, summary = load(file)
    text = (
        json.dumps(summary.as_json(), indent=2)
        if as_json
        else render(summary, sys.stdout, every_row=every_row)
    )
    sys.stdout.write(f"{text}\n")
    return 0


def load(file: Path) -> tuple[Profile, Summary]:
    """A profile, and its figures.

    Raises:
        GstPyroError: the file cannot be read, is no profile, or not one of ours.
    """
    profile = files.read(file)
    summary = summarize(profile)
    if not summary.stats and summary.facts is None:
        raise ProfileFormatError(
            f"{file} is a pprof profile that gst-pyro-shim did not write: it does not know elements.",
            f"Show it with `go tool pprof {file}`.",
        )
    return profile, summary


def table(profile: Profile, file: TextIO) -> str:
    """The table of `profile`, formatted for `file`."""
    return render(summarize(profile), file)


def render(summary: Summary, file: TextIO, *, every_row: bool = False) -> str:
    """Table, footer, explanations and notes as text, formatted for `file`."""
    return as_text(file, lambda width: _parts(summary, width, every_row=every_row))


def _parts(summary: Summary, width: int, *, every_row: bool) -> Iterator[RenderableType]:
    if any(row.self_ns for row in summary.rows):
        yield _table(summary, width=width, every_row=every_row)
        python = _python_table(summary)
        if python.row_count:
            yield python
        yield _footer(_footer_lines(summary))
    yield from remarks(summary)
    if not any(row.self_ns for row in summary.rows):
        yield _footer(_pushes(summary))


def remarks(summary: Summary) -> Iterator[RenderableType]:
    """The explanations, and the notes of agents and of `run`."""
    for line in explanations(summary):
        yield Text(printable(line), style="bold")
    for note in summary.notes:
        yield Text(f"note: {printable(note)}")


def _table(summary: Summary, *, width: int, every_row: bool) -> Table:
    grid = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True, show_footer=True)
    total_s = summary.accounted_s
    threads = set().union(*(row.threads for row in summary.rows))
    grid.add_column("ELEMENT", "total", overflow="fold", min_width=NAME_WIDTH)
    grid.add_column("FACTORY", "", overflow="fold", min_width=NAME_WIDTH)
    cpu = "" if width < _COMPACT else "CPU "
    grid.add_column(f"SELF {cpu}s", f"{total_s:.3f}", justify="right", no_wrap=True)
    grid.add_column("%", percent(total_s, total_s), justify="right", no_wrap=True)
    grid.add_column(f"TOTAL {cpu}s", "", justify="right", no_wrap=True)
    if width >= _NARROW:
        grid.add_column("THREADS", str(len(threads)), justify="right", no_wrap=True)
        grid.add_column("SAMPLES", str(summary.samples), justify="right", no_wrap=True)
    names = shown(summary.rows)
    most = kept(len(summary.rows), every_row=every_row)
    rest = summary.rows[most:]
    for row, name in zip(summary.rows[:most], names, strict=False):
        cells = (
            Text(printable(name), style="bold" if row.factory else "dim"),
            Text(printable(row.factory), style="cyan"),
            f"{row.self_ns / _NS:.3f}",
            percent(row.self_ns, total_s * _NS),
            f"{row.total_ns / _NS:.3f}",
            str(len(row.threads)),
            str(row.samples),
        )
        grid.add_row(*cells[: len(grid.columns)])
    if rest:
        self_s = sum(row.self_ns for row in rest) / _NS
        cells = (
            more(len(rest)),
            Text(""),
            f"{self_s:.3f}",
            percent(self_s, total_s),
            "",
            str(len(set().union(*(row.threads for row in rest)))),
            str(sum(row.samples for row in rest)),
        )
        grid.add_row(*cells[: len(grid.columns)])
    return grid


def shown(rows: list[Row]) -> list[str]:
    """The names of elements; their paths where several share a name."""
    names = Counter(row.name for row in rows)
    return [row.path if names[row.name] > 1 and row.path else row.name for row in rows]


def _python_table(summary: Summary) -> Table:
    """Python functions by element. Their time is part of the elements' time in the table above."""
    grid = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    grid.add_column("ELEMENT", overflow="fold", min_width=NAME_WIDTH)
    grid.add_column("PYTHON FUNCTION", overflow="fold", min_width=NAME_WIDTH)
    grid.add_column("SELF s", justify="right", no_wrap=True)
    grid.add_column("TOTAL s", justify="right", no_wrap=True)
    grid.add_column("% OF ELEMENT", justify="right", no_wrap=True)
    grid.add_column("FILE", overflow="fold", min_width=NAME_WIDTH)
    least_ns = summary.accounted_s * _NS * _LEAST_PYTHON
    for row, element in zip(summary.rows, shown(summary.rows), strict=True):
        # By total time: this shows the user's own functions, whatever library they spend their time in.
        functions = sorted(row.python(), key=lambda one: -one.total_ns)
        for one in functions[:_PYTHON_FUNCTIONS]:
            if one.total_ns >= least_ns:
                share = percent(one.total_ns, row.self_ns)
                times = (f"{one.self_ns / _NS:.3f}", f"{one.total_ns / _NS:.3f}")
                cells = (element, one.name, *times, share, short_file(one.file))
                grid.add_row(*(Text(printable(cell)) for cell in cells))
    return grid


def _footer(lines: list[tuple[str, str]]) -> Table:
    grid = Table(box=None, show_header=False, pad_edge=False)
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in lines:
        grid.add_row(name, Text(printable(value)))
    return grid


def _footer_lines(summary: Summary) -> list[tuple[str, str]]:
    rates = sorted({one.sample_rate for one in summary.stats if one.sample_rate})
    clocks = "; ".join(_CLOCKS.get(clock, clock) for clock in summary.sample_clocks) or "unknown"
    at = f" at {', '.join(map(str, rates))} Hz of CPU time" if rates else ""
    samples, _ = summary.dropped()
    lines = [
        ("samples", f"{summary.samples}{at}, clock: {clocks}"),
        ("dropped", f"{sum(samples.values())}{_reasons(samples)}"),
    ]
    cpu_s = summary.process_cpu_s
    if cpu_s:
        # After that the process only used CPU for its end, and for the last push of an agent inside it.
        text = f"of {cpu_s:.3f} s, the process's user + system time until its profile was closed"
        if unseen_s := summary.unseen_s:
            text += f"; {percent(unseen_s, cpu_s)} % in no thread's account"
        lines.append(("CPU accounted", f"{percent(summary.accounted_s, cpu_s)} % {text}"))
    stacks = summary.stacks
    if any(stacks.values()):
        lines.append(("stacks to the root", _stacks_text(stacks)))
    if summary.named_fraction is not None:
        lines.append(("leaf frames named", f"{summary.named_fraction * 100:.1f} % of samples"))
    if summary.python_s:
        lines.append(("Python functions", _python_text(summary)))
    lines += _pushes(summary)
    agent_s = sum(one.agent_cpu_s for one in summary.stats)
    if agent_s:
        lines.append(("agent", f"{agent_s:.3f} s CPU outside the program"))
    if len(summary.stats) > 1:
        names = ", ".join(f"{one.program} ({one.pid})" for one in summary.stats)
        lines.append(("processes", names))
    return lines


def _reasons(counts: dict[str, int]) -> str:
    words = ", ".join(f"{name.replace('_', ' ')} {number}" for name, number in counts.items())
    return f" ({words})" if words else ""


def _stacks_text(stacks: dict[str, int]) -> str:
    whole = sum(stacks.values())
    reached = stacks["cfi"] + stacks["scan"] + stacks["guessed"]
    parts = [f"{_ENDS[end]} {stacks[end]}" for end in STACK_ENDS if stacks[end]]
    return f"{percent(reached, whole)} % of {whole} ({', '.join(parts)})"


def _python_text(summary: Summary) -> str:
    """Time in Python functions, and how many samples it rests on."""
    rest_s = summary.not_sampled_s
    parts = [f"{rest_s:.3f} s not sampled"] if round(rest_s, 3) else []
    if samples := summary.python_samples:
        known_s = summary.python_s - rest_s
        parts.insert(0, f"{known_s:.3f} s by {samples} samples at {summary.python_rate} Hz")
    return ", ".join(parts)


def _pushes(summary: Summary) -> list[tuple[str, str]]:
    counters, (_, dropped) = summary.counters, summary.dropped()
    words = []
    if counters["pushed_profiles"]:
        size = counters["pushed_bytes"] / 1024
        words.append(f"{counters['pushed_profiles']} profiles, {size:.0f} KiB")
    if counters["spooled"]:
        words.append(f"{counters['spooled']} kept on disk for later")
    if counters["failed_programs"]:
        words.append(f"{counters['failed_programs']} programs not profiled")
    if dropped:
        words.append(f"{sum(dropped.values())} dropped{_reasons(dropped)}")
    return [("pushed", ", ".join(words))] if words else []
