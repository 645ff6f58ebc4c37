# SPDX-License-Identifier: MIT
"""`graph`: a profile's pipelines as Graphviz draws them, each element in the colour of its share of the CPU.

Two elements are linked where data went from one to the other (pprof/pad_links.py). Names come from the profiled
process: they reach Graphviz escaped, as text alone.

Context: controller.
"""

from __future__ import annotations

import html
import itertools
import math
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gst_pyro_shim.errors import GstPyroError
from gst_pyro_shim.pprof import files
from gst_pyro_shim.pprof.model import element_frame
from gst_pyro_shim.terminal import printable
from gst_pyro_shim.views.element_paths import own_name, settled_links
from gst_pyro_shim.views.element_rows import Row
from gst_pyro_shim.views.explanations import explanations
from gst_pyro_shim.views.flamegraph import about
from gst_pyro_shim.views.report import load
from gst_pyro_shim.views.terminal_tables import percent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gst_pyro_shim.pprof.model import Frame
    from gst_pyro_shim.pprof.pad_links import Link
    from gst_pyro_shim.views.summary import Summary

_NS: Final = 1e9
_TEXT_SUFFIXES: Final = (".dot", ".gv")
_DRAWN_SUFFIXES: Final = (".svg", ".png", ".pdf")
_DRAWING_S: Final = 120
"""Enough for some thousand elements. Graphviz's time grows faster than their number."""
_HOTTEST: Final = 9
"""The last of Graphviz's colours ylorrd9, which go from pale yellow to dark red."""
_LIGHT_TEXT_FROM: Final = 7
_LEAST: Final = 0.005
"""Share of the whole, below which CPU time of no element, or of a pipeline without data, is only in a sum."""
_NO_LINKS: Final = (
    "No arrows: the profile does not say which elements are linked. Either no data went from one element to another,"
    " or an older version wrote the profile."
)
_HEAD: Final = """\
digraph pipelines {
  graph [rankdir=LR, fontname="sans-serif", fontsize=11, labelloc=b, labeljust=l, nodesep=0.2, ranksep=0.35];
  node [shape=box, style="rounded,filled", fillcolor=white, color=gray40, fontname="sans-serif", fontsize=11];
  edge [color=gray40, arrowsize=0.7];
"""


@dataclass(slots=True)
class _Bin:
    """A bin or a pipeline, or the root, which holds all pipelines.

    Attributes:
        self_ns: CPU time of all elements in it.
        nodes: Graphviz's lines for the elements directly in it.
        bins: the bins in it, by name.
    """

    self_ns: int = 0
    nodes: list[str] = field(default_factory=list)
    bins: dict[str, _Bin] = field(default_factory=dict)


def main(file: Path, output: Path | None, *, force: bool = False) -> int:
    """Draws a profile, prints where the picture is, and explains what it lacks.

    Args:
        file: a profile.
        output: .svg, .png or .pdf, or .dot for Graphviz's own text; beside `file`, with .svg for .pb.gz, unless given.
        force: an existing file may be replaced.

    Raises:
        GstPyroError: the profile cannot be read or is not one of ours, or the picture cannot be made or written.
    """
    profile, summary = load(file)
    links = settled_links(profile)
    suffix = _suffix(output)
    data = dot(summary, links).encode("utf-8", "backslashreplace")
    if suffix in _DRAWN_SUFFIXES:
        data = _drawn(data, suffix[1:])
    files.write_view(file, output, suffix, data, force=force)
    lines: list[str] = []
    if not any(row.factory and row.self_ns for row in summary.rows):
        lines = explanations(summary)
    elif not links:
        lines = [_NO_LINKS]
    for line in lines:
        sys.stderr.write(f"{printable(line)}\n")
    return 0


def _suffix(output: Path | None) -> str:
    if output is None:
        return _DRAWN_SUFFIXES[0]
    suffix = output.suffix.lower()
    if files.is_stream(output):
        return _TEXT_SUFFIXES[0]
    if suffix not in _TEXT_SUFFIXES + _DRAWN_SUFFIXES:
        kinds = ", ".join(_DRAWN_SUFFIXES)
        raise GstPyroError(
            f"The name {output} does not say which kind of picture to draw.",
            f"End it with one of {kinds}, or with {_TEXT_SUFFIXES[0]} for Graphviz's own text.",
        )
    return suffix


def _drawn(text: bytes, kind: str) -> bytes:
    program = shutil.which("dot")
    if program is None:
        raise GstPyroError(
            "Graphviz is not installed: there is no program called dot, which draws the graph.",
            "Install it (apt install graphviz), or write the text of the graph instead: -o FILE.dot",
        )
    try:
        done = subprocess.run(
            [program, f"-T{kind}"], input=text, capture_output=True, timeout=_DRAWING_S, check=True
        )
    except subprocess.TimeoutExpired as error:
        raise GstPyroError(
            f"Graphviz has not finished within {_DRAWING_S} s: the graph is too large.",
            "Write its text with -o FILE.dot, and draw that with a faster program of Graphviz, such as sfdp.",
        ) from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
        raise GstPyroError(f"Graphviz could not draw the graph: {said}") from error
    return done.stdout


def dot(summary: Summary, links: set[Link]) -> str:
    """Graphviz's text of the graph."""
    rows = {
        element_frame(row.name, row.factory, row.path): row for row in summary.rows if row.factory
    }
    for one in itertools.chain.from_iterable(links):  # not all of them used CPU time
        rows.setdefault(one, Row(one.name, one.path, one.factory))
    total_ns = sum(row.self_ns for row in summary.rows)
    idle = _idle(rows, links, total_ns)
    numbers = {frame: number for number, frame in enumerate(sorted(rows.keys() - idle, key=_order))}
    top = _Bin()
    for frame, number in numbers.items():
        row = rows[frame]
        homes = _homes(top, frame)
        homes[-1].nodes.append(f"  n{number} [{_node(row, total_ns)}];")
        for home in homes:
            home.self_ns += row.self_ns
    arrows = sorted((numbers[source], numbers[sink]) for source, sink in links)
    lines = [
        *_cluster(top, total_ns, itertools.count()),
        *(f"  n{source} -> n{sink};" for source, sink in arrows),
        f"  label={_quoted(*_footer(summary, total_ns, [rows[frame] for frame in idle]))};",
    ]
    return _HEAD + "\n".join(lines) + "\n}\n"


def _idle(rows: dict[Frame, Row], links: set[Link], total_ns: int) -> set[Frame]:
    """Elements of pipelines through which no data went and that used next to no CPU time.

    A pipeline that is renamed after it was built appears under its old name too, with the time that building it took.
    """
    linked = set(map(_pipeline, itertools.chain.from_iterable(links)))
    costs: Counter[str] = Counter()
    for frame, row in rows.items():
        costs[_pipeline(frame)] += row.self_ns
    return {
        frame
        for frame in rows
        if linked and _pipeline(frame) not in linked and costs[_pipeline(frame)] < _LEAST * total_ns
    }


def _pipeline(frame: Frame) -> str:
    return frame.path.lstrip("/").partition("/")[0]


def _order(frame: Frame) -> tuple[str, str, str]:
    return frame.path, frame.name, frame.factory


def _homes(top: _Bin, frame: Frame) -> list[_Bin]:
    """The root and the bins that hold an element, the innermost last."""
    homes = [top]
    for name in frame.path.removesuffix(f"/{own_name(frame.name, frame.path)}").split("/")[1:]:
        homes.append(homes[-1].bins.setdefault(name, _Bin()))
    return homes


def _cluster(home: _Bin, total_ns: int, numbers: Iterator[int]) -> Iterator[str]:
    """Graphviz's lines for what is in `home`. `numbers` gives each bin of the graph a number of its own."""
    yield from home.nodes
    for name, inner in home.bins.items():
        yield f"  subgraph cluster{next(numbers)} {{"
        yield "  style=rounded; color=gray70; labelloc=t;"
        yield f"  label={_quoted(f'{name}  {_cost(inner.self_ns, total_ns)}')};"
        yield from _cluster(inner, total_ns, numbers)
        yield "  }"


def _node(row: Row, total_ns: int) -> str:
    texts = (own_name(row.name, row.path), row.factory)
    name, factory = (html.escape(printable(text)) for text in texts)
    label = f'<B>{name}</B><BR/><FONT POINT-SIZE="9">{factory}</FONT><BR/>{_cost(row.self_ns, total_ns)}'
    tooltip = _quoted(
        row.path,
        f"self {row.self_ns / _NS:.3f} s, total {row.total_ns / _NS:.3f} s",
        f"{len(row.threads)} threads, {row.samples} samples",
    )
    heat = _heat(row.self_ns, total_ns)
    colour = f', fillcolor="/ylorrd9/{heat}"' if heat else ""
    text = ', fontcolor="white"' if heat >= _LIGHT_TEXT_FROM else ""
    return f"label=<{label}>, tooltip={tooltip}{colour}{text}"


def _heat(ns: int, total_ns: int) -> int:
    """0 to 9, by the square root of the share: a tenth of the CPU time is still visible beside the rest."""
    share = ns / total_ns if total_ns > 0 and ns > 0 else 0.0
    return min(_HOTTEST, round(_HOTTEST * math.sqrt(share)))


def _cost(ns: int, total_ns: int) -> str:
    return f"{ns / _NS:.3f} s  {percent(ns, total_ns)} %"


def _footer(summary: Summary, total_ns: int, idle: list[Row]) -> Iterator[str]:
    yield f"{about(summary)}; each element with its own CPU time"
    others = [row for row in summary.rows if not row.factory and row.self_ns > 0]
    large = [row for row in others if row.self_ns >= _LEAST * total_ns]
    if others:
        cost = _cost(sum(row.self_ns for row in others), total_ns)
        names = ", ".join(f"{row.name} {_cost(row.self_ns, total_ns)}" for row in large)
        yield f"in no element  {cost}" + (f": {names}" if names else "")
    if idle:
        cost = _cost(sum(row.self_ns for row in idle), total_ns)
        yield f"in pipelines without data, not drawn  {cost}: {len(idle)} elements"


def _quoted(*lines: str) -> str:
    """Lines as one string of Graphviz, aligned to the left."""
    escaped = (printable(line).replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return '"' + "".join(f"{line}\\l" for line in escaped) + '"'
