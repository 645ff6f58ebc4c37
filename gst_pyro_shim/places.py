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

from gst_pyro_shim.model import element_frame

if TYPE_CHECKING:
    from gst_pyro_shim.model import Frame, Profile


def settled(profile: Profile) -> Profile:
    """The same stacks, each element under the longest path that ends in its own, where that is certain."""
    moved = _moved(profile)
    if not moved:
        return profile
    samples = [
        replace(one, frames=tuple(moved.get(frame, frame) for frame in one.frames))
        for one in profile.samples
    ]
    return replace(profile, samples=samples)


def _moved(profile: Profile) -> dict[Frame, Frame]:
    elements: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for frame in {frame for sample in profile.samples for frame in sample.frames}:
        if frame.kind == "element" and frame.factory:
            elements[frame.name, frame.factory].add(frame.path)
    moved = {}
    for (name, factory), paths in elements.items():
        for path in paths:
            longer = [one for one in paths if one != path and one.endswith(path)]
            last = max(longer, key=len, default=path)
            # Else two elements of one name, in two bins, might be meant.
            if longer and all(last.endswith(one) for one in longer):
                moved[element_frame(name, factory, path)] = element_frame(name, factory, last)
    return moved
