# SPDX-License-Identifier: MIT
"""`flamegraph`: a profile as one HTML file that needs no network.

flamegraph.{html,css} and flamegraph.*.js are the page; the stacks go into it as JSON. Names come from the profiled
process and may be hostile. They reach the page as text, never as markup, and without characters that
change the direction of the text around them. The page's policy allows its one script, by its hash, and
loads nothing.

Context: controller.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gst_pyro_shim.pprof import files
from gst_pyro_shim.pprof.model import (
    JIT,
    NO_SAMPLE,
    NOT_SAMPLED,
    ORC,
    TRUNCATED,
    UNKNOWN,
    Frame,
    element_frame,
)
from gst_pyro_shim.terminal import printable
from gst_pyro_shim.views.element_paths import settled
from gst_pyro_shim.views.element_rows import short_file
from gst_pyro_shim.views.explanations import explanations
from gst_pyro_shim.views.report import shown
from gst_pyro_shim.views.summary import summarize

if TYPE_CHECKING:
    from gst_pyro_shim.pprof.model import Profile
    from gst_pyro_shim.views.summary import Summary

_SCRIPTS: Final = ("tree", "state", "search", "draw", "events")
"""Parts of the page's script, flamegraph.*.js, each of which uses those before it."""
MAX_NODES: Final = 40_000
"""A page of 2 MB, which a browser opens at once. Stacks beyond it are those with least CPU time."""
MAX_PYTHON: Final = 100
"""Python functions of one element."""
_SMALLER: Final = Frame("[smaller stacks]", kind="marker")
_ALL: Final = Frame("all", kind="marker")
_MEANINGS: Final = {
    _ALL: "the whole profile",
    _SMALLER: f"beyond the {MAX_NODES:,} frames that this page holds",
    NO_SAMPLE: "CPU time that was measured without a sample",
    TRUNCATED: "frames are missing here",
    UNKNOWN: "frames that could not be found",
    ORC: "vector code that ORC compiled at run time",
    JIT: "code that was compiled at run time",
    NOT_SAMPLED: "Python code without a sample of pyroscope-io",
}


@dataclass(slots=True)
class _Node:
    frame: Frame
    total_ns: int = 0
    children: dict[Frame, _Node] = field(default_factory=dict)


def main(file: Path, output: Path | None, *, force: bool = False) -> int:
    """Writes the page and prints where it is. If the page is empty it also prints why.

    Args:
        file: a profile.
        output: the page; beside `file`, with .html for .pb.gz, unless given. Nothing is printed into one that goes to
            /dev/stdout.
        force: whether an existing page may be replaced.

    Raises:
        GstPyroError: the profile cannot be read, the page cannot be written, or both are one file.
    """
    profile = files.read(file)
    text = page(profile, file.name)
    # Names of files and programs need not be Unicode.
    data = text.encode("utf-8", "backslashreplace")
    files.write_view(file, output, ".html", data, force=force)
    if not _has_cpu(profile):
        for line in explanations(summarize(profile)):
            sys.stderr.write(f"{printable(line)}\n")
    return 0


def _has_cpu(profile: Profile) -> bool:
    return any(one.cpu_ns > 0 for one in profile.samples)


def page(profile: Profile, title: str) -> str:
    """The page for `profile`."""
    profile = settled(profile)
    summary = summarize(profile)
    line = about(summary) if _has_cpu(profile) else " ".join(explanations(summary))
    style, script = _part("css"), "".join(_part(f"{name}.js") for name in _SCRIPTS)
    parts = {
        "title": html.escape(printable(title)),
        "about": html.escape(printable(line)),
        "style": style,
        "style-hash": _hash(style),
        "script": script,
        "script-hash": _hash(script),
        # Names contain no "<" then, so none can end the script element.
        "data": json.dumps(_data(profile, summary), separators=(",", ":")).replace("<", "\\u003c"),
    }
    return re.sub(r"\{\{([a-z-]+)\}\}", lambda found: parts[found[1]], _part("html"))


def _part(suffix: str) -> str:
    return Path(__file__).with_name(f"flamegraph.{suffix}").read_text("utf-8")


def _hash(text: str) -> str:
    """The hash by which the page's policy names an inline script or style."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def about(summary: Summary) -> str:
    """A profile in one line: what ran, its CPU time, its samples."""
    programs = ", ".join(dict.fromkeys(one.program for one in summary.stats))
    cpu = f"{summary.accounted_s:.3f} s CPU in {summary.duration_s:.1f} s"
    rates = sorted({one.sample_rate for one in summary.stats if one.sample_rate})
    at = f" at {', '.join(map(str, rates))} Hz" if rates else ""
    return " · ".join(filter(None, (programs, cpu, f"{summary.samples} samples{at}")))


def _data(profile: Profile, summary: Summary) -> dict[str, object]:
    """The page's data, as flamegraph.tree.js describes it. Nodes are in preorder, largest sibling first."""
    root = _tree(profile)
    frames: dict[Frame, int] = {}
    nodes: list[tuple[int, int, float]] = []
    waiting = [(root, 0)]
    while waiting:
        node, depth = waiting.pop()
        nodes.append((frames.setdefault(node.frame, len(frames)), depth, node.total_ns / 1000))
        children = sorted(node.children.values(), key=lambda one: (one.total_ns, one.frame.name))
        waiting += [(child, depth + 1) for child in children]
    # Elements that share a name are shown by their paths, as in the table.
    keys = (element_frame(row.name, row.factory, row.path) for row in summary.rows)
    names = dict(zip(keys, shown(summary.rows), strict=True))
    return {
        "frames": [
            [
                printable(names.get(one, one.name)),
                one.kind,
                printable(one.factory),
                printable(_place(one)),
            ]
            for one in frames
        ],
        "nodes": nodes,
        "python": _python(summary, frames),
        "threads": _threads(profile, frames),
    }


def _threads(profile: Profile, frames: dict[Frame, int]) -> list[tuple[int, str, int, float]]:
    """Threads as (frame of the element, name, how many, microseconds of the element's own time), largest first."""
    threads: defaultdict[tuple[int, str], set[tuple[int, int]]] = defaultdict(set)
    times: Counter[tuple[int, str]] = Counter()
    for sample in profile.samples:
        element = next((_as_shown(one) for one in sample.frames if one.kind == "element"), None)
        if element in frames and sample.cpu_ns:
            key = (frames[element], dict(sample.labels).get("thread", "?"))
            threads[key].add((sample.pid, sample.tid))
            times[key] += sample.cpu_ns
    return [
        (key[0], printable(key[1]), len(threads[key]), ns / 1000) for key, ns in times.most_common()
    ]


def _python(summary: Summary, frames: dict[Frame, int]) -> list[tuple[int, str, str, float]]:
    """Python functions as (frame of the element, name, file, microseconds), largest first.

    They show where in an element's Python code time goes, not in which of its stacks.
    """
    found = []
    for row in summary.rows:
        key = element_frame(row.name, row.factory, row.path)
        if key in frames:
            found += [
                (frames[key], printable(name), printable(short_file(file)), ns / 1000)
                for name, file, ns, *_ in row.python()[:MAX_PYTHON]
                if ns
            ]
    return found


def _tree(profile: Profile) -> _Node:
    root = _Node(_ALL)
    room = MAX_NODES
    shown: dict[Frame, Frame] = {}
    for sample in sorted(profile.samples, key=lambda one: -one.cpu_ns):
        if sample.cpu_ns <= 0:
            break
        for frame in sample.frames:
            if frame not in shown:
                shown[frame] = _as_shown(frame)
        path = [shown[frame] for frame in reversed(sample.frames)]
        known = _depth(root, path)
        missing = path[known:]
        if len(missing) > room:
            # CPU time belongs to the innermost element. If its frame does not fit, elements are kept without functions.
            is_theirs = any(frame.kind == "element" for frame in missing)
            kept = [one for one in path if one.kind == "element"] if is_theirs else path[:known]
            path = [*kept, _SMALLER]
        else:
            room -= len(missing)
        _add(root, path, sample.cpu_ns)
    return root


def _as_shown(frame: Frame) -> Frame:
    """A frame without line and build id, which would split one function into several frames."""
    if frame.kind == "element":
        return element_frame(frame.name, frame.factory, frame.path)
    return Frame(frame.name, frame.module, kind=frame.kind)


def _depth(root: _Node, path: list[Frame]) -> int:
    """How many frames of `path`, from the root on, are in the tree."""
    node: _Node | None = root
    for depth, frame in enumerate(path):
        node = node.children.get(frame) if node else None
        if node is None:
            return depth
    return len(path)


def _add(root: _Node, path: list[Frame], cpu_ns: int) -> None:
    root.total_ns += cpu_ns
    node = root
    for frame in path:
        child = node.children.get(frame)
        if child is None:
            child = node.children[frame] = _Node(frame)
        node = child
        node.total_ns += cpu_ns


def _place(frame: Frame) -> str:
    """The path of an element, the library of a function, or the meaning of a marker."""
    if frame.kind == "element":
        return frame.path
    return _MEANINGS.get(frame, "") if frame.kind == "marker" else frame.module
