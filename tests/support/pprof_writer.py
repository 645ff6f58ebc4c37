# SPDX-License-Identifier: MIT
"""Writes pprof and push.v1 byte by byte, also such as nobody should: the counterpart of pprof_reader.

Context: tests.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

CPU = ("cpu", "nanoseconds")
SECOND_NS = 1_000_000_000


def varint(value: int) -> bytes:
    """A base-128 varint; negative numbers as int64."""
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field: int, value: int) -> bytes:
    """A field of wire type 0."""
    return varint(field << 3) + varint(value)


def chunk(field: int, data: bytes) -> bytes:
    """A field of wire type 2."""
    return varint(field << 3 | 2) + varint(len(data)) + data


class _Table:
    def __init__(self) -> None:
        self.rows: dict[Any, int] = {}

    def __call__(self, key: Any) -> int:
        return self.rows.setdefault(key, len(self.rows))


def pprof(
    samples: Sequence[Mapping[str, Any]],
    *,
    sample_type: Sequence[tuple[str, str]] = (CPU,),
    period_type: Sequence[str] | None = CPU,
    time_ns: int | None = 0,
    repeat: int = 1,
    pad_strings: int = 0,
    mapping: bool = False,
) -> bytes:
    """A plain pprof message.

    Args:
        samples: `stack` leaf first, of function names or {"addr": n}; `value`; `labels`, a mapping or pairs, numeric
            where the value is an int; `zero_location` puts a location id 0 in front.
        sample_type: (type, unit) of each value.
        period_type: (type, unit); empty for an empty message, None for none.
        time_ns: start of the window; 0 means now, None leaves it out.
        repeat: how often the samples are written.
        pad_strings: number of unused strings of 1000 bytes.
        mapping: a mapping without functions, to which all locations belong.
    """
    string = _Table()
    string("")
    location = _Table()
    head = b"".join(chunk(1, number(1, string(a)) + number(2, string(b))) for a, b in sample_type)
    rows = []
    for sample in samples:
        stack = [
            location(each["addr"] if isinstance(each, dict) else each) + 1
            for each in sample["stack"]
        ]
        if sample.get("zero_location"):
            stack.insert(0, 0)
        row = chunk(1, b"".join(map(varint, stack)))
        row += chunk(2, b"".join(map(varint, sample["value"])))
        labels = sample.get("labels", {})
        for key, value in labels.items() if isinstance(labels, Mapping) else labels:
            what = number(3, value) if isinstance(value, int) else number(2, string(value))
            row += chunk(3, number(1, string(key)) + what)
        rows.append(chunk(2, row))
    places = b""
    for name, index in location.rows.items():
        place = number(1, index + 1) + (number(2, 1) if mapping else b"")
        if isinstance(name, int):
            place += number(3, name)
        else:
            places += chunk(5, number(1, index + 1) + number(2, string(name)))
            place += chunk(4, number(1, index + 1))
        places += chunk(4, place)
    if mapping:
        places += chunk(3, number(1, 1))
    tail = b""
    if time_ns is not None:
        tail += number(9, time_ns or time.time_ns())
    tail += number(10, 10 * SECOND_NS)
    if period_type is not None:
        pair = [number(at, string(text)) for at, text in enumerate(period_type, 1)]
        tail += chunk(11, b"".join(pair))
    tail += number(12, 10_000_000)
    texts = b"".join(
        chunk(6, text if isinstance(text, bytes) else text.encode()) for text in string.rows
    )
    padding = b"".join(chunk(6, b"%01000d" % each) for each in range(pad_strings))
    return head + b"".join(rows) * repeat + places + texts + padding + tail


def push(series: Sequence[tuple[Mapping[str, str], Sequence[bytes]]], identity: str = "") -> bytes:
    """A push.v1.PushRequest of (labels, raw profiles); each profile gets the identity."""
    body = b""
    for labels, profiles in series:
        part = b"".join(
            chunk(1, chunk(1, name.encode()) + chunk(2, value.encode()))
            for name, value in labels.items()
        )
        for raw in profiles:
            part += chunk(2, chunk(1, raw) + (chunk(2, identity.encode()) if identity else b""))
        body += chunk(1, part)
    return body
