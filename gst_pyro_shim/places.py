# SPDX-License-Identifier: MIT
"""Elements under their last place.

A label is an element's path at the moment. Before a bin takes the element in, and the pipeline that bin, its path is
shorter: `/avdec0`, `/decodebin0/avdec0`, `/pipeline0/decodebin0/avdec0` would be three elements.

Context: controller. No I/O.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from gst_pyro_shim import links
from gst_pyro_shim.model import element_frame

if TYPE_CHECKING:
    from gst_pyro_shim.model import Frame, Profile, Sample


def settled(profile: Profile) -> Profile:
    """The same stacks and labels, each element under the longest path that ends in its own, where that is certain."""
    moved = _moved(profile, links.from_comments(profile.comments))
    if not moved:
        return profile
    return replace(
        profile,
        samples=[_moved_sample(one, moved) for one in profile.samples],
        python=[_moved_sample(one, moved) for one in profile.python],
    )


def settled_links(profile: Profile) -> set[links.Link]:
    """Which elements are linked, each under its last place."""
    linked = links.from_comments(profile.comments)
    moved = _moved(profile, linked)
    return {(moved.get(source, source), moved.get(sink, sink)) for source, sink in linked}


def labelled(sample: Sample) -> tuple[str, str, str]:
    """(name, path, factory) of the element that a sample's labels name."""
    labels = dict(sample.labels)
    name, factory = labels.get("element", "[no element]"), labels.get("factory", "")
    # An element directly in the pipeline, or in no bin, has no label for its path.
    above = f"/{labels['pipeline']}" if "pipeline" in labels else ""
    return name, labels.get("path", f"{above}/{name}" if factory else ""), factory


def _moved_sample(sample: Sample, moved: dict[Frame, Frame]) -> Sample:
    frames = tuple(moved.get(frame, frame) for frame in sample.frames)
    name, path, factory = labelled(sample)
    last = moved.get(element_frame(name, factory, path))
    labels = dict(sample.labels)
    if last is not None:
        labels |= {"pipeline": last.path.split("/")[1], "path": last.path}
    return replace(sample, frames=frames, labels=tuple(labels.items()))


def _moved(profile: Profile, linked: set[links.Link]) -> dict[Frame, Frame]:
    elements: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for frame in {frame for sample in profile.samples for frame in sample.frames}.union(*linked):
        if frame.kind == "element" and frame.factory:
            elements[frame.name, frame.factory].add(frame.path)
    moved = {}
    for (name, factory), paths in elements.items():
        for path, longer in _longer(paths).items():
            last = max(longer, key=len)
            # Else two elements of one name, in two bins, might be meant.
            if all(last.endswith(one) for one in longer):
                moved[element_frame(name, factory, path)] = element_frame(name, factory, last)
    return moved


def _longer(paths: set[str]) -> dict[str, list[str]]:
    """Paths that are the end of others, with these. There may be thousands: pipelines that come and go."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in paths:
        at = path.find("/", 1)
        while at > 0:
            if path[at:] in paths:
                found[path[at:]].append(path)
            at = path.find("/", at + 1)
    return found
