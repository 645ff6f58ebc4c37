# SPDX-License-Identifier: MIT
"""Which elements are linked, as a profile's comments tell it; pprof has no field for that.

Context: agent (writes) and controller (reads). Pure data, no I/O.

A link travels once, in the first window that ends after it was met, as `gst-pyro-links {json}`: `elements` as
[name, factory, path], `links` as pairs of their indices, upstream first.
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
    """The comment that tells `links`; None without any."""
    elements: dict[tuple[str, str, str], int] = {}
    pairs = [
        [elements.setdefault((one.name, one.factory, one.path), len(elements)) for one in link]
        for link in links
    ]
    if not pairs:
        return None
    return comments.write(_KIND, {"elements": list(elements), "links": pairs})


def from_comments(texts: Iterable[str]) -> set[Link]:
    """All links that are told in a profile's comments; what is damaged is passed over."""
    found = (comments.read(_KIND, text) for text in texts)
    return {link for told in found if told for link in _links(told)}


def _links(told: dict[str, Any]) -> list[Link]:
    try:
        elements = [_element(one) for one in told["elements"]]
        return [
            (elements[_index(source)], elements[_index(sink)]) for source, sink in told["links"]
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
