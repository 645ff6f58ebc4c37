# SPDX-License-Identifier: MIT
"""Decodes pprof, of whatever tool: files, and what pyroscope-io has pushed; encode.py is the way back.

Context: controller; agent, for Python's samples. No I/O. The input is not trusted.
"""

from __future__ import annotations

import zlib
from typing import Any, Final

from google.protobuf.message import DecodeError

from gst_pyro_shim.errors import ProfileFormatError
from gst_pyro_shim.pprof.model import (
    ELEMENT_FILE,
    MARKERS,
    Frame,
    FrameKind,
    Profile,
    Sample,
    identity,
)
from gst_pyro_shim.pprof.schema import PprofProfile

_GZIP_MAGIC: Final = b"\x1f\x8b"
_MAX_DECODED_BYTES: Final = 256 * 1024 * 1024


def decode(data: bytes) -> Profile:
    """Decodes a profile.

    Args:
        data: plain or gzipped pprof of any tool that measured CPU time.

    Raises:
        ProfileFormatError: empty, truncated, corrupt, not pprof, or without cpu/nanoseconds values.
    """
    message = PprofProfile()
    try:
        message.ParseFromString(plain(data))
    except DecodeError as error:
        what = "This is not a pprof profile, or it is damaged."
        raise ProfileFormatError(what) from error
    if not message.string_table or message.string_table[0]:
        what = "This is not a pprof profile: its string table does not begin with an empty string."
        raise ProfileFormatError(what)
    try:
        return _Decoder(message).profile()
    except (IndexError, KeyError) as error:
        what = "The profile is damaged: it refers to names or frames that it does not hold."
        raise ProfileFormatError(what) from error


def plain(data: bytes) -> bytes:
    """A profile's bytes, decompressed where they are gzip; at most 256 MiB.

    Raises:
        ProfileFormatError: empty, too large, or damaged gzip.
    """
    if not data:
        what = "The profile is empty (0 bytes)."
        raise ProfileFormatError(what)
    if not data.startswith(_GZIP_MAGIC):
        return data
    inflater = zlib.decompressobj(wbits=31)
    try:
        plain = inflater.decompress(data, _MAX_DECODED_BYTES)
    except zlib.error as error:
        what = f"The profile's gzip data is damaged ({error})."
        raise ProfileFormatError(what) from error
    if not inflater.eof:
        what = (
            f"The profile holds more than {_MAX_DECODED_BYTES >> 20} MiB."
            if len(plain) == _MAX_DECODED_BYTES
            else "The profile's gzip data ends too early: the file was cut off."
        )
        raise ProfileFormatError(what)
    return plain


class _Decoder:
    """Reads one parsed pprof message. Raises IndexError or KeyError where a reference leads nowhere."""

    def __init__(self, message: Any) -> None:
        self._message = message
        self._strings: list[str] = list(message.string_table)
        self._functions: dict[int, tuple[str, str]] = {
            one.id: (self._text(one.name), self._text(one.filename)) for one in message.function
        }
        self._mappings: dict[int, tuple[str, str]] = {
            one.id: (self._text(one.filename), self._text(one.build_id)) for one in message.mapping
        }
        self._frames = {one.id: self._location(one) for one in message.location}

    def _text(self, index: int) -> str:
        if index < 0:
            raise IndexError(index)
        return self._strings[index]

    def _location(self, location: Any) -> tuple[Frame, ...]:
        """Frames of one location, leaf first: several where calls were inlined."""
        number = location.mapping_id
        module, build_id = self._mappings[number] if number else ("", "")
        if not location.line:
            name = identity(module or "unknown", location.address)
            return (Frame(name, module, build_id),)
        frames = []
        for line in location.line:
            name, file = self._functions[line.function_id]
            kind: FrameKind = "native"
            if file.startswith(ELEMENT_FILE) and file.count(":") > 1:
                kind = "element"
            elif name in MARKERS and not module and not file:
                kind = "marker"
            frames.append(Frame(name, module, build_id, file, line.line, kind))
        return tuple(frames)

    def profile(self) -> Profile:
        types = [(self._text(one.type), self._text(one.unit)) for one in self._message.sample_type]
        if ("cpu", "nanoseconds") not in types:
            has = ", ".join("/".join(one) for one in types) or "no values at all"
            what = f"The profile has no CPU time (cpu/nanoseconds); it has {has}."
            raise ProfileFormatError(what)
        columns = {kind: column for column, kind in enumerate(types)}
        cpu, count = columns["cpu", "nanoseconds"], columns.get(("samples", "count"))
        message = self._message
        native, python = list(message.sample), []
        if (column := columns.get(("python", "nanoseconds"))) is not None:
            ticks = columns.get(("python_samples", "count"))
            native = [one for one in message.sample if not one.value[column]]
            python = [
                self._sample(one, column, ticks) for one in message.sample if one.value[column]
            ]
        return Profile(
            start_ns=message.time_nanos,
            duration_ns=message.duration_nanos,
            period_ns=message.period,
            samples=[self._sample(one, cpu, count) for one in native],
            comments=[self._text(index) for index in message.comment],
            python=python,
        )

    def _sample(self, sample: Any, cpu: int, count: int | None) -> Sample:
        labels = []
        numbers = {}
        for label in sample.label:
            if label.str:
                labels.append((self._text(label.key), self._text(label.str)))
            else:
                numbers[self._text(label.key)] = label.num
        return Sample(
            frames=tuple(frame for one in sample.location_id for frame in self._frames[one]),
            cpu_ns=sample.value[cpu],
            samples=sample.value[count] if count is not None else 0,
            labels=tuple(labels),
            tid=numbers.get("tid", 0),
            pid=numbers.get("pid", 0),
        )
