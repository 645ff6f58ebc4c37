# SPDX-License-Identifier: MIT
"""`report --by`: CPU by thread, factory or pipeline, and the elements behind each.

Context: controller.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from gst_pyro_shim import files
from gst_pyro_shim.places import settled
from gst_pyro_shim.report import NAME_WIDTH, as_text, percent
from gst_pyro_shim.summary import elements_of
from gst_pyro_shim.terminal import printable

if TYPE_CHECKING:
    from pathlib import Path

    from gst_pyro_shim.model import Profile

LABELS: Final = ("thread", "factory", "pipeline")
_ELEMENTS: Final = 6
_LEAST: Final = 0.0005
"""Of all CPU time: what is less would be shown as 0.0 %."""


@dataclass(slots=True)
class Group:
    """CPU of one value of a label.

    Attributes:
        name: the value; in brackets where there is none.
        cpu_ns: of all samples that have it.
        threads: (pid, tid) that used it.
        elements: ns by the name of the element.
    """

    name: str
    cpu_ns: int = 0
    threads: set[tuple[int, int]] = field(default_factory=set)
    elements: Counter[str] = field(default_factory=Counter)


def main(file: Path, label: str) -> int:
    """Prints the table of one of LABELS on stdout.

    Raises:
        GstPyroError: the file cannot be read, or is no profile.
    """
    groups = group(files.read(file), label)
    text = as_text(sys.stdout, lambda _: [_table(groups, label)])
    sys.stdout.write(f"{text}\n")
    return 0


def group(profile: Profile, label: str) -> list[Group]:
    """Adds a profile up by the values of a label, most CPU first; elements count where they stood last."""
    without = "[not known]" if label == "thread" else f"[no {label}]"
    groups: dict[str, Group] = {}
    for sample in settled(profile).samples:
        if not sample.cpu_ns:
            continue
        name = dict(sample.labels).get(label, without)
        found = groups.setdefault(name, Group(name))
        found.cpu_ns += sample.cpu_ns
        found.threads.add((sample.pid, sample.tid))
        found.elements[elements_of(sample)[0][0]] += sample.cpu_ns
    return sorted(groups.values(), key=lambda one: (-one.cpu_ns, one.name))


def _table(groups: list[Group], label: str) -> Table:
    grid = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True, show_footer=True)
    total_ns = sum(one.cpu_ns for one in groups)
    grid.add_column(label.upper(), "total", overflow="fold", min_width=NAME_WIDTH)
    grid.add_column("CPU s", f"{total_ns / 1e9:.3f}", justify="right", no_wrap=True)
    grid.add_column("%", "100.0", justify="right", no_wrap=True)
    grid.add_column("THREADS", "", justify="right", no_wrap=True)
    grid.add_column("ELEMENTS, % OF ALL", "", overflow="fold", min_width=NAME_WIDTH)
    for one in groups:
        grid.add_row(
            Text(printable(one.name), style="dim" if one.name.startswith("[") else "bold"),
            f"{one.cpu_ns / 1e9:.3f}",
            percent(one.cpu_ns, total_ns),
            str(len(one.threads)),
            Text(printable(_elements(one, total_ns))),
        )
    return grid


def _elements(one: Group, total_ns: int) -> str:
    shown = [
        f"{name} {percent(ns, total_ns)}"
        for at, (name, ns) in enumerate(one.elements.most_common(_ELEMENTS))
        if at == 0 or ns >= total_ns * _LEAST
    ]
    beyond = len(one.elements) - len(shown)
    return ", ".join([*shown, *([f"{beyond} more"] if beyond else [])])
