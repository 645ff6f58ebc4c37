# SPDX-License-Identifier: MIT
"""Gives each element one path, its last one, and numbers elements that share a path.

A label holds an element's path at one moment. The path is shorter before a bin takes the element in, and before the
pipeline takes that bin in: `/avdec0`, `/decodebin0/avdec0`, `/pipeline0/decodebin0/avdec0` would be three elements.

If several elements have the same path at a time, the agent numbers all but the first: `/camera/enc`, `/camera#2/enc`.
Where there is a second one, the first is shown as `/camera#1/enc`.

Context: controller. No I/O.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gst_pyro_shim.pprof import pad_links
from gst_pyro_shim.pprof.model import element_frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gst_pyro_shim.pprof.model import Frame, Profile, Sample

_NUMBERED: Final = re.compile(r"(.+)#(?:[2-9]|[1-9]\d+)", re.DOTALL)


def settled(profile: Profile) -> Profile:
    """The same stacks and labels, each element under the longest path that ends in its own, where that is certain.

    The first of several elements with one path has a number, as the others have.
    """
    moved, firsts = _moved(profile, pad_links.from_comments(profile.comments))
    if not moved:
        return profile
    return replace(
        profile,
        samples=[_moved_sample(one, moved, firsts) for one in profile.samples],
        python=[_moved_sample(one, moved, firsts) for one in profile.python],
    )


def settled_links(profile: Profile) -> set[pad_links.Link]:
    """Which elements are linked, each under its last path."""
    linked = pad_links.from_comments(profile.comments)
    moved, _ = _moved(profile, linked)
    return {(moved.get(source, source), moved.get(sink, sink)) for source, sink in linked}


def labelled(sample: Sample) -> tuple[str, str, str]:
    """The element that a sample's labels name, as (name, path, factory)."""
    labels = dict(sample.labels)
    name, factory = labels.get("element", "[no element]"), labels.get("factory", "")
    # Elements directly in the pipeline, or in no bin, have no label for their path.
    above = f"/{labels['pipeline']}" if "pipeline" in labels else ""
    return name, labels.get("path", f"{above}/{name}" if factory else ""), factory


def own_name(name: str, path: str) -> str:
    """An element's name, with its number where its path has one."""
    found = re.search(rf"/({re.escape(name)}#\d+)\Z", path)
    return found[1] if found else name


def _pipeline(path: str) -> str:
    return path.split("/")[1]


def _moved_sample(sample: Sample, moved: dict[Frame, Frame], firsts: set[str]) -> Sample:
    frames = tuple(moved.get(frame, frame) for frame in sample.frames)
    name, path, factory = labelled(sample)
    last = moved.get(element_frame(name, factory, path))
    labels = dict(sample.labels)
    if last is not None:
        labels |= {"pipeline": _pipeline(last.path), "path": last.path}
    elif (
        f"/{labels.get('pipeline')}" in firsts
    ):  # CPU time of a pipeline that belongs to no element
        labels["pipeline"] += "#1"
    return replace(sample, frames=frames, labels=tuple(labels.items()))


def _moved(profile: Profile, linked: set[pad_links.Link]) -> tuple[dict[Frame, Frame], set[str]]:
    """Elements whose shown path differs from the recorded one, as a map between both; and `_firsts` of all paths."""
    elements: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for frame in {frame for sample in profile.samples for frame in sample.frames}.union(*linked):
        if frame.kind == "element" and frame.factory:
            elements[frame.name, frame.factory].add(frame.path)
    moved = {}
    for (name, factory), paths in elements.items():
        for path, longer in _longer(paths).items():
            last = max(longer, key=len)
            # Otherwise the short path may belong to either of two elements of that name in two bins.
            if all(last.endswith(one) for one in longer):
                moved[element_frame(name, factory, path)] = element_frame(name, factory, last)
    firsts = _firsts(set().union(*elements.values()))
    for (name, factory), paths in elements.items() if firsts else ():
        for path in paths:
            frame = element_frame(name, factory, path)
            last = moved.get(frame, frame).path
            shown = "".join(one + "#1" * (above + one in firsts) for above, one in _steps(last))
            if shown != path:
                moved[frame] = element_frame(name, factory, shown)
    return moved, firsts


def _steps(path: str) -> Iterator[tuple[str, str]]:
    """Each part of a path, slash included, after the path that precedes it."""
    at = 0
    for part in path.split("/")[1:]:
        yield path[:at], f"/{part}"
        at += 1 + len(part)


def _firsts(paths: set[str]) -> set[str]:
    """Paths without a number of which there is a numbered second."""
    if not any("#" in path for path in paths):
        return set()
    places = {above + part for path in paths for above, part in _steps(path)}
    found = (_NUMBERED.fullmatch(place) for place in places)
    return {one[1] for one in found if one is not None and one[1] in places}


def _longer(paths: set[str]) -> dict[str, list[str]]:
    """Paths that are the end of longer ones, with these. There may be thousands, of pipelines that come and go."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in paths:
        at = path.find("/", 1)
        while at > 0:
            if path[at:] in paths:
                found[path[at:]].append(path)
            at = path.find("/", at + 1)
    return found
