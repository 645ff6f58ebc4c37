# SPDX-License-Identifier: MIT
"""Which elements are linked, in a profile's comments: pprof has no field for that.

A link is written once, in the first window that ends after it was found, as `gst-pyro-links {json}`: `elements` as
[name, factory, path], `links` as pairs of their indices, upstream first.

Context: agent (writes) and controller (reads). Pure data, no I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gst_pyro_shim.pprof import comments
from gst_pyro_shim.pprof.model import Frame, element_frame

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gst_pyro_shim.segment.rows import Label

Link = tuple[Frame, Frame]
"""Element frames, upstream first."""
_KIND: Final = "gst-pyro-links"
_FIELDS: Final = 3


def to_comment(links: Iterable[tuple[Label, Label]]) -> str | None:
    """The comment for `links`, pairs of labels, upstream first; None where there are none."""
    elements: dict[tuple[str, str, str], int] = {}
    pairs = [
        [elements.setdefault((one.name, one.factory, one.path), len(elements)) for one in link]
        for link in links
    ]
    if not pairs:
        return None
    return comments.write(_KIND, {"elements": list(elements), "links": pairs})


def from_comments(texts: Iterable[str]) -> set[Link]:
    """All links in a profile's comments; other and damaged comments are skipped."""
    found = (comments.read(_KIND, text) for text in texts)
    return {link for content in found if content for link in _links(content)}


def _links(content: dict[str, Any]) -> list[Link]:
    try:
        elements = [_element(one) for one in content["elements"]]
        return [
            (elements[_index(source)], elements[_index(sink)]) for source, sink in content["links"]
        ]
    except (ValueError, TypeError, LookupError):
        return []


def _element(row: Any) -> Frame:
    if len(row) != _FIELDS or not all(isinstance(one, str) for one in row):
        raise TypeError
    name, factory, path = row
    return element_frame(name, factory, path)


def _index(number: Any) -> int:
    if type(number) is not int or number < 0:
        raise TypeError
    return number
