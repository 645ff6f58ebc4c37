# SPDX-License-Identifier: MIT
"""Reads protobuf, push.v1 and pprof byte by byte, sharing nothing with gst_pyro_shim: what our encoder writes is judged
by a second pair of eyes. Errors are worded as the server words them.

Context: tests.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_PROFILE_BYTES = 4 * 1024 * 1024


class WireError(Exception):
    """The bytes are no such message."""


class TooLargeError(Exception):
    """A profile inflates beyond the limit."""


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if shift >= 64:
            raise WireError("proto: integer overflow")
        if at >= len(data):
            raise WireError("unexpected EOF")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7


def signed(value: int) -> int:
    """A varint as the int64 it stands for."""
    return value - (1 << 64) if value >= 1 << 63 else value


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of each field: an int of wire types 0, 1 and 5, bytes of wire type 2."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise WireError(f"proto: illegal tag 0 (wire type {kind})")
        if kind == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind not in {1, 2, 5}:
            raise WireError(f"proto: illegal wireType {kind}")
        length = {1: 8, 5: 4}.get(kind, 0)
        if kind == 2:
            length, at = _varint(data, at)
            if length >= 1 << 63:
                raise WireError("proto: negative length found during unmarshaling")
        if at + length > len(data):
            raise WireError("unexpected EOF")
        chunk = data[at : at + length]
        at += length
        yield number, chunk if kind == 2 else int.from_bytes(chunk, "little")


def _numbers(value: int | bytes) -> list[int]:
    """A repeated number, packed or not."""
    if isinstance(value, int):
        return [value]
    found, at = [], 0
    while at < len(value):
        number, at = _varint(value, at)
        found.append(number)
    return found


def _bytes(value: int | bytes, name: str) -> bytes:
    if isinstance(value, int):
        raise WireError(f"proto: wrong wireType = 0 for field {name}")
    return value


def _int(value: int | bytes, name: str) -> int:
    if not isinstance(value, int):
        raise WireError(f"proto: wrong wireType = 2 for field {name}")
    return value


@dataclass
class Sample:
    """Indices and numbers as they stand in the message; labels are (key, str, num)."""

    locations: list[int] = field(default_factory=list)
    values: list[int] = field(default_factory=list)
    labels: list[tuple[int, int, int]] = field(default_factory=list)


@dataclass
class Pprof:
    """A pprof message as it stands; nothing is resolved or checked.

    Attributes:
        sample_types: (type, unit), string indices.
        locations: id -> (address, function ids of its lines, innermost first).
        functions: id -> (name, filename), string indices.
    """

    sample_types: list[tuple[int, int]] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    locations: dict[int, tuple[int, list[int]]] = field(default_factory=dict)
    functions: dict[int, tuple[int, int]] = field(default_factory=dict)
    strings: list[bytes] = field(default_factory=list)
    time_ns: int = 0
    duration_ns: int = 0
    period_type: tuple[int, int] | None = None
    period: int = 0
    comments: list[int] = field(default_factory=list)

    def text(self, index: int) -> str:
        """A string of the table, which must be UTF-8."""
        return self.strings[index].decode()


def _pair(data: bytes) -> tuple[int, int]:
    first = second = 0
    for number, value in fields(data):
        if number == 1:
            first = _int(value, "Type")
        elif number == 2:
            second = _int(value, "Unit")
    return first, second


def _sample(data: bytes) -> Sample:
    sample = Sample()
    for number, value in fields(data):
        if number == 1:
            sample.locations += _numbers(value)
        elif number == 2:
            sample.values += [signed(each) for each in _numbers(value)]
        elif number == 3:
            label = {n: signed(_int(v, "Label")) for n, v in fields(_bytes(value, "Label"))}
            sample.labels.append((label.get(1, 0), label.get(2, 0), label.get(3, 0)))
    return sample


def _location(data: bytes) -> tuple[int, int, list[int]]:
    identity = address = 0
    lines: list[int] = []
    for number, value in fields(data):
        if number == 1:
            identity = _int(value, "Id")
        elif number == 3:
            address = _int(value, "Address")
        elif number == 4:
            lines.append(_pair(_bytes(value, "Line"))[0])
    return identity, address, lines


def parse_pprof(data: bytes) -> Pprof:
    """Reads a plain pprof message.

    Raises:
        WireError: it is none.
    """
    profile = Pprof()
    for number, value in fields(data):
        if number == 1:
            profile.sample_types.append(_pair(_bytes(value, "SampleType")))
        elif number == 2:
            profile.samples.append(_sample(_bytes(value, "Sample")))
        elif number == 4:
            identity, address, lines = _location(_bytes(value, "Location"))
            profile.locations[identity] = (address, lines)
        elif number == 5:
            row = {n: _int(v, "Function") for n, v in fields(_bytes(value, "Function"))}
            profile.functions[row.get(1, 0)] = (row.get(2, 0), row.get(4, 0))
        elif number == 6:
            profile.strings.append(_bytes(value, "StringTable"))
        elif number == 9:
            profile.time_ns = signed(_int(value, "TimeNanos"))
        elif number == 10:
            profile.duration_ns = signed(_int(value, "DurationNanos"))
        elif number == 11:
            profile.period_type = _pair(_bytes(value, "PeriodType"))
        elif number == 12:
            profile.period = signed(_int(value, "Period"))
        elif number == 13:
            profile.comments += _numbers(value)
    return profile


def inflate(data: bytes) -> bytes:
    """A raw profile, gunzipped where it is gzip; of fewer than two bytes the server tries gzip as well.

    Raises:
        TooLargeError: more than the server's limit.
        WireError: broken gzip.
    """
    if len(data) >= 2 and data[:2] != b"\x1f\x8b":
        plain = data
    else:
        if len(data) < 10:
            raise WireError("gzip reset: EOF" if not data else "gzip reset: unexpected EOF")
        stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            plain = stream.decompress(data, MAX_PROFILE_BYTES + 1)
        except zlib.error:
            raise WireError("copy to buffer: flate: corrupt input") from None
        if not stream.eof and len(plain) <= MAX_PROFILE_BYTES:
            raise WireError("copy to buffer: unexpected EOF")
    if len(plain) > MAX_PROFILE_BYTES:
        raise TooLargeError
    return plain


@dataclass
class Series:
    """One series of a push: labels in their order, and (id, raw profile) of each sample."""

    labels: list[tuple[str, str]] = field(default_factory=list)
    samples: list[tuple[str, bytes]] = field(default_factory=list)


def parse_push(data: bytes) -> list[Series]:
    """Reads a push.v1.PushRequest.

    Raises:
        WireError: it is none.
    """
    found = []
    for number, value in fields(data):
        if number != 1:
            continue
        series = Series()
        for part, content in fields(_bytes(value, "Series")):
            texts = (
                {n: _bytes(v, "Series") for n, v in fields(_bytes(content, "Series"))}
                if part in {1, 2}
                else {}
            )
            try:
                if part == 1:
                    series.labels.append((texts.get(1, b"").decode(), texts.get(2, b"").decode()))
                elif part == 2:
                    series.samples.append((texts.get(2, b"").decode(), texts.get(1, b"")))
            except UnicodeDecodeError:
                raise WireError("string field contains invalid UTF-8") from None
        found.append(series)
    return found
