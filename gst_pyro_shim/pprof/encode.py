# SPDX-License-Identifier: MIT
"""Encodes profiles as pprof, split to a server's limits; decode.py is the way back.

Context: agent, and controller for its file. No I/O.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final

from gst_pyro_shim.pprof.model import TRUNCATED, UNKNOWN, Frame, Profile, Sample
from gst_pyro_shim.pprof.schema import PprofProfile

# Pyroscope charges a profile's uncompressed bytes against a burst of 2 MiB, and refuses for ever what exceeds it. It
# refuses more than 16,000 samples, cuts stacks deeper than 1,000 on the leaf side, and refuses a profile for one label
# value above 2,048 bytes.
MAX_PROFILE_BYTES: Final = 3 * 512 * 1024
MAX_SAMPLES: Final = 16_000
MAX_DEPTH: Final = 1_000
_MAX_LABEL_BYTES: Final = 2_048
_MAX_NAME_CHARS: Final = 4_096

# Build ids that a server's symbolizer accepts. Any other makes its queries fail, or is of no use to it.
_BUILD_ID: Final = re.compile(r"[A-Za-z0-9_-]+")
# Size of mappings whose locations the server is to symbolize; beyond any ELF file. Servers and pprof merge mappings of
# one build id and size, whatever has_functions is: those with functions have size 0.
_UNNAMED_LIMIT: Final = 1 << 48


class _Encoder:
    """Interns strings, functions, mappings and locations of one pprof message. Ids count from 1."""

    def __init__(self, *, server_symbolizes: bool) -> None:
        self.message: Any = PprofProfile()
        self._server_symbolizes = server_symbolizes
        self._strings: dict[str, int] = {"": 0}
        self._functions: dict[tuple[int, int], int] = {}
        self._mappings: dict[tuple[int, int, bool], int] = {}
        self._locations: dict[Frame, int] = {}

    def string(self, text: str) -> int:
        index = self._strings.get(text)
        if index is None:
            index = self._strings[text] = len(self._strings)
        return index

    def location(self, frame: Frame) -> int:
        known = self._locations.get(frame)
        if known is not None:
            return known
        number = self._locations[frame] = len(self._locations) + 1
        if self._server_symbolizes and _is_for_server(frame):
            mapping = self._mapping(frame, has_functions=False)
            self.message.location.add(id=number, mapping_id=mapping, address=frame.address)
            return number
        # has_functions keeps servers from symbolizing again. They set such addresses to 0, so none are sent.
        mapping = self._mapping(frame, has_functions=True)
        location = self.message.location.add(id=number, mapping_id=mapping)
        location.line.add(function_id=self._function(frame), line=frame.line)
        return number

    def _function(self, frame: Frame) -> int:
        # A frame whose function has no name vanishes from flame graphs.
        key = (self.string(_clean(frame.name) or UNKNOWN.name), self.string(_clean(frame.file)))
        known = self._functions.get(key)
        if known is None:
            known = self._functions[key] = len(self._functions) + 1
            self.message.function.add(id=known, name=key[0], system_name=key[0], filename=key[1])
        return known

    def _mapping(self, frame: Frame, *, has_functions: bool) -> int:
        if not frame.module:
            return 0
        file, build_id = self.string(_clean(frame.module)), self.string(_clean(frame.build_id))
        key = (file, build_id, has_functions)
        known = self._mappings.get(key)
        if known is None:
            known = self._mappings[key] = len(self._mappings) + 1
            self.message.mapping.add(
                id=known,
                memory_limit=0 if has_functions else _UNNAMED_LIMIT,
                filename=file,
                build_id=build_id,
                has_functions=has_functions,
                has_filenames=has_functions,
            )
        return known

    def sample(self, sample: Sample, values: tuple[int, ...]) -> None:
        locations = self._locations
        row = self.message.sample.add(
            location_id=[locations.get(frame) or self.location(frame) for frame in sample.frames],
            value=values,
        )
        for key, value in sample.labels:
            text = _clip_utf8(_clean(value), _MAX_LABEL_BYTES)
            if text:  # servers drop empty ones
                row.label.add(key=self.string(key), str=self.string(text))
        for key, number in (("tid", sample.tid), ("pid", sample.pid)):
            if number:
                row.label.add(key=self.string(key), num=number)

    def _put_program_first(self, programs: list[str]) -> None:
        """Sorts the mappings: tools take the first one for the program. Their ids stay as they are.

        Args:
            programs: names by which they were started, each perhaps that of a link.
        """
        mappings, names = self.message.mapping, list(self._strings)

        def rank(mapping: Any) -> tuple[bool, bool, bool]:
            name = names[mapping.filename].rpartition("/")[2]
            return (name.startswith("["), ".so" in name, name not in programs)

        if programs and not any(rank(one)[:2] == (False, False) for one in mappings):
            # The program is in no stack, yet tools name the profile after it.
            mappings.add(
                id=len(mappings) + 1, filename=self.string(programs[0]), has_functions=True
            )
            names = list(self._strings)
        mappings.sort(key=rank)

    def finish(self, profile: Profile) -> bytes:
        message = self.message
        message.time_nanos = profile.start_ns
        message.duration_nanos = profile.duration_ns
        message.period = profile.period_ns
        self._put_program_first([_clean(one.program) for one in profile.stats() if one.program])
        message.comment.extend(self.string(_clean(text, limit=None)) for text in profile.comments)
        message.string_table.extend(self._strings)
        return bytes(message.SerializeToString())


def _is_for_server(frame: Frame) -> bool:
    """Whether a server's symbolizer may find a name that we did not. Servers drop a sample with a location at 0."""
    has_source = frame.file or frame.line
    return bool(frame.address and not has_source and _BUILD_ID.fullmatch(frame.build_id))


def _clean(text: str, limit: int | None = _MAX_NAME_CHARS) -> str:
    """Clips a text, and replaces surrogates: the server refuses a profile that is not valid UTF-8."""
    clipped = text if limit is None or len(text) <= limit else text[: limit - 1] + "…"
    if clipped.isascii():
        return clipped
    return clipped.encode("utf-8", "replace").decode("utf-8")


def _clip_utf8(text: str, limit: int) -> str:
    raw = text.encode("utf-8")
    return text if len(raw) <= limit else raw[:limit].decode("utf-8", "ignore")


def encode(profile: Profile, *, server_symbolizes: bool = False) -> bytes:
    """Encodes `profile` as plain (not gzipped) pprof of [cpu/nanoseconds, samples/count].

    Python's own samples, where there are any, have two more types, python/nanoseconds and python_samples/count, and 0
    of the others: no total counts a second twice.

    Args:
        profile: what to encode.
        server_symbolizes: frames that have an identity in place of a name are sent as addresses, in mappings of their
            own, for the server's symbolizer. Tools without one show the stacks without these frames.
    """
    encoder = _Encoder(server_symbolizes=server_symbolizes)
    # These strings come first: a server that drops unused strings does not renumber default_sample_type.
    cpu, nanoseconds = encoder.string("cpu"), encoder.string("nanoseconds")
    message = encoder.message
    message.sample_type.add(type=cpu, unit=nanoseconds)
    message.sample_type.add(type=encoder.string("samples"), unit=encoder.string("count"))
    if profile.python:
        message.sample_type.add(type=encoder.string("python"), unit=nanoseconds)
        message.sample_type.add(type=encoder.string("python_samples"), unit=encoder.string("count"))
    message.default_sample_type = cpu
    # Without a period type a server answers with status 500, or stores a profile that no query finds.
    message.period_type.type, message.period_type.unit = cpu, nanoseconds
    no_python = (0, 0) if profile.python else ()
    for sample in profile.samples:
        encoder.sample(sample, (sample.cpu_ns, sample.samples, *no_python))
    for sample in profile.python:
        encoder.sample(sample, (0, 0, sample.cpu_ns, sample.samples))
    return encoder.finish(profile)


def split(
    profile: Profile,
    *,
    max_bytes: int = MAX_PROFILE_BYTES,
    max_samples: int = MAX_SAMPLES,
    max_depth: int = MAX_DEPTH,
    server_symbolizes: bool = False,
) -> list[bytes]:
    """Encodes `profile` as one or more profiles within the server's limits, which hold all of its CPU time.

    Args:
        profile: what to send; one without samples still makes one profile, for its comments.
        max_bytes: of each, uncompressed; the label bytes of its series are not counted.
        max_samples: of each.
        max_depth: frames of a stack; of deeper ones root, leaf and elements are kept, with [truncated] between.
        server_symbolizes: as for `encode`.
    """
    shallow = [_limit_depth(sample, max_depth) for sample in profile.samples]
    chunks = [shallow[at : at + max_samples] for at in range(0, len(shallow), max_samples)] or [[]]
    out: list[bytes] = []
    while chunks:
        chunk = chunks.pop(0)
        data = encode(replace(profile, samples=chunk), server_symbolizes=server_symbolizes)
        depth = len(chunk[0].frames) if len(chunk) == 1 else 0
        if len(data) <= max_bytes or not chunk or (len(chunk) == 1 and depth <= 3):
            out.append(data)
        elif len(chunk) > 1:
            middle = len(chunk) // 2
            chunks[:0] = [chunk[:middle], chunk[middle:]]
        else:
            chunks.insert(0, [_limit_depth(chunk[0], max(3, depth // 2))])
    return out


def _limit_depth(sample: Sample, max_depth: int) -> Sample:
    """Drops frames from the middle, functions first: the elements say to which of them the total time belongs."""
    frames = sample.frames
    if len(frames) <= max_depth:
        return sample
    room = max_depth - 1
    elements = [at for at, frame in enumerate(frames) if frame.kind == "element"]
    kept = set(_ends(elements, max(0, room - max(2, room // 4))))
    kept.update(_ends([at for at in range(len(frames)) if at not in kept], room - len(kept)))
    cut = next(at for at in range(len(frames)) if at not in kept)
    left = [*frames[:cut], TRUNCATED, *(frames[at] for at in range(cut, len(frames)) if at in kept)]
    return replace(sample, frames=tuple(left))


def _ends(places: list[int], number: int) -> list[int]:
    """The first and the last of `places`, `number` in all."""
    if len(places) <= number:
        return places
    return places[: (number + 1) // 2] + places[len(places) - number // 2 :]
