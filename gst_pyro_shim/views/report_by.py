# SPDX-License-Identifier: MIT
"""`report --by`: CPU time by thread, factory or pipeline, and the elements behind each.

Context: controller.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from gst_pyro_shim.terminal import printable
from gst_pyro_shim.views.element_paths import settled
from gst_pyro_shim.views.element_rows import elements_of
from gst_pyro_shim.views.report import load, remarks, shown
from gst_pyro_shim.views.terminal_tables import NAME_WIDTH, as_text, kept, more, percent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.console import RenderableType

    from gst_pyro_shim.pprof.model import Profile
    from gst_pyro_shim.views.summary import Summary

LABELS: Final = ("thread", "factory", "pipeline")
_NS: Final = 1e9
_ELEMENTS: Final = 6
_LEAST: Final = 0.0005
"""Share of all CPU time. Less would be shown as 0.0 %."""

_Element = tuple[str, str, str]


@dataclass(slots=True)
class Group:
    """CPU time of all samples that have one value of a label.

    Attributes:
        value: None for samples without the label.
        cpu_ns: CPU time.
        samples: ticks behind `cpu_ns`.
        threads: (pid, tid) that used `cpu_ns`.
        elements: ns by element: its name, path and factory.
    """

    value: str | None
    cpu_ns: int = 0
    samples: int = 0
    threads: set[tuple[int, int]] = field(default_factory=set)
    elements: Counter[_Element] = field(default_factory=Counter)


def main(file: Path, label: str, *, as_json: bool = False, every_row: bool = False) -> int:
    """Prints the table of one of LABELS on stdout, or `report`'s figures as JSON with the groups added.

    Args:
        file: a profile.
        label: one of LABELS; each of its values is a group.
        as_json: JSON instead of a table.
        every_row: show all groups, and all elements of each.

    Raises:
        GstPyroError: the file cannot be read, is no profile, or not one of ours.
    """
    profile, summary = load(file)
    groups = group(profile, label)
    if as_json:
        found = {"by": label, "groups": [_group_json(one) for one in groups]}
        text = json.dumps(summary.as_json() | found, indent=2)
    else:
        text = as_text(sys.stdout, lambda _: _parts(groups, label, summary, every_row=every_row))
    sys.stdout.write(f"{text}\n")
    return 0


def group(profile: Profile, label: str) -> list[Group]:
    """Sums a profile by the values of a label, most CPU time first. Elements have their last path."""
    groups: dict[str | None, Group] = {}
    for sample in settled(profile).samples:
        if not sample.cpu_ns and not sample.samples:
            continue
        value = dict(sample.labels).get(label)
        found = groups.setdefault(value, Group(value))
        found.cpu_ns += sample.cpu_ns
        found.samples += sample.samples
        if sample.cpu_ns:
            found.threads.add((sample.pid, sample.tid))
            found.elements[elements_of(sample)[0]] += sample.cpu_ns
    return sorted(groups.values(), key=lambda one: (-one.cpu_ns, one.value or ""))


def _group_json(one: Group) -> dict[str, Any]:
    return {
        "name": one.value,
        "cpu_s": one.cpu_ns / _NS,
        "threads": len(one.threads),
        "samples": one.samples,
        "elements": [
            {"name": name, "path": path, "factory": factory or None, "cpu_s": ns / _NS}
            for (name, path, factory), ns in one.elements.most_common()
        ],
    }


def _parts(
    groups: list[Group], label: str, summary: Summary, *, every_row: bool
) -> Iterator[RenderableType]:
    used = [one for one in groups if one.threads]
    if used:
        yield _table(used, label, _names(summary), every_row=every_row)
    yield from remarks(summary)


def _names(summary: Summary) -> dict[_Element, str]:
    """The names of elements, as in the table by element."""
    rows = summary.rows
    keys = [(row.name, row.path, row.factory) for row in rows]
    return dict(zip(keys, shown(rows), strict=True))


def _table(
    groups: list[Group], label: str, names: dict[_Element, str], *, every_row: bool
) -> Table:
    grid = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True, show_footer=True)
    total_ns = sum(one.cpu_ns for one in groups)
    grid.add_column(label.upper(), "total", overflow="fold", min_width=NAME_WIDTH)
    grid.add_column("CPU s", f"{total_ns / _NS:.3f}", justify="right", no_wrap=True)
    grid.add_column("%", percent(total_ns, total_ns), justify="right", no_wrap=True)
    grid.add_column("THREADS", "", justify="right", no_wrap=True)
    grid.add_column("ELEMENTS, % OF ALL", "", overflow="fold", min_width=NAME_WIDTH)
    without = "[not known]" if label == "thread" else f"[no {label}]"
    most = kept(len(groups), every_row=every_row)
    for one in groups[:most]:
        grid.add_row(
            Text(printable(one.value or without), style="bold" if one.value else "dim"),
            f"{one.cpu_ns / _NS:.3f}",
            percent(one.cpu_ns, total_ns),
            str(len(one.threads)),
            Text(printable(_elements(one, total_ns, names, every_row=every_row))),
        )
    if rest := groups[most:]:
        rest_ns = sum(one.cpu_ns for one in rest)
        threads = set().union(*(one.threads for one in rest))
        times = (f"{rest_ns / _NS:.3f}", percent(rest_ns, total_ns))
        grid.add_row(more(len(rest)), *times, str(len(threads)), "")
    return grid


def _elements(one: Group, total_ns: int, names: dict[_Element, str], *, every_row: bool) -> str:
    found = one.elements.most_common()
    named = [
        f"{names[element]} {percent(ns, total_ns)}"
        for at, (element, ns) in enumerate(found)
        if every_row or at == 0 or (at < _ELEMENTS and ns >= total_ns * _LEAST)
    ]
    beyond = len(found) - len(named)
    return ", ".join([*named, *([f"{beyond} more"] if beyond else [])])
