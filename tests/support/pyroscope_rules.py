# SPDX-License-Identifier: MIT
"""What a Pyroscope 2.x with default limits accepts, refuses, changes and stores: by rule, so that a real one's answers
(tests/contract/pyroscope-contract.json) come out of them.

Context: tests.
"""

from __future__ import annotations

import json
import re
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.pprof_reader import (
    MAX_PROFILE_BYTES,
    Pprof,
    Sample,
    Series,
    TooLargeError,
    WireError,
    inflate,
    parse_pprof,
)

if TYPE_CHECKING:
    from collections.abc import Callable

RATE_BYTES = 4 * 1024 * 1024
BURST_BYTES = 2 * 1024 * 1024
MAX_SAMPLES = 16000
MAX_SAMPLE_LABELS = 100
MAX_DEPTH = 1000
MAX_SYMBOL_BYTES = 65535
MAX_NAME_BYTES = 1024
MAX_VALUE_BYTES = 2048
MAX_LABELS = 30
OLDEST_S = 3600
NEWEST_S = 600

_STATUS = {
    "invalid_argument": 400,
    "unauthenticated": 401,
    "resource_exhausted": 429,
    "unknown": 500,
    "unimplemented": 501,
    "unavailable": 503,
    "deadline_exceeded": 504,
}
_NO_SERIES_LABELS = frozenset({"span_id", "profile_id", "trace_id"})


class RefusedError(Exception):
    """An error the server answers with."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def status(self) -> int:
        return _STATUS[self.code]


def _invalid(message: str) -> RefusedError:
    return RefusedError("invalid_argument", message)


class _NilPointerError(Exception):
    """The server's own crash on a missing period_type."""


Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Stored:
    """A series' share of one profile.

    Attributes:
        labels: all of the series, sorted.
        type_id: `__name__:type:unit:period_type:period_unit`.
        stacks: root first, with the value.
        push: number of the push it came with.
    """

    labels: Labels
    type_id: str
    time_ns: int
    duration_ns: int
    stacks: tuple[tuple[tuple[str, ...], int], ...]
    push: int

    @property
    def total(self) -> int:
        return sum(value for _, value in self.stacks)

    def label(self, name: str) -> str:
        return dict(self.labels).get(name, "")


def quoted(text: str) -> str:
    """Go's %q, as far as labels need it."""
    return json.dumps(text, ensure_ascii=False)


def shown(labels: Labels) -> str:
    """Labels as the server's errors show them."""
    return "{" + ", ".join(f"{name}={quoted(value)}" for name, value in labels) + "}"


def _human(size: int, base: int, unit: str) -> str:
    power = 0
    value = float(size)
    while value >= base:
        value /= base
        power += 1
    prefix = ["", "k" if base == 1000 else "K", "M", "G"][power]
    mark = "i" if base == 1024 and power else ""
    value = int(value * 10 + 0.5) / 10
    return (
        f"{value:.1f} {prefix}{mark}{unit}" if value < 10 else f"{value:.0f} {prefix}{mark}{unit}"
    )


def _moment(seconds: float) -> str:
    whole, milli = divmod(int(seconds * 1000), 1000)
    fraction = f".{milli:03}".rstrip("0") if milli else ""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(whole)) + fraction + " +0000 UTC"


class Store:
    """What was accepted, and the token bucket that limits how much."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.profiles: list[Stored] = []
        self.pushes = 0
        self._clock = clock
        self._mutex = threading.Lock()
        self._tokens = float(BURST_BYTES)
        self._filled = clock()

    def push(self, batch: list[Series]) -> None:
        """Takes a push: each series by itself, the first error at the end.

        Raises:
            RefusedError: some or all of it was refused.
        """
        if not batch:
            raise _invalid("no profiles received")
        failures: list[RefusedError] = []
        parsed: list[tuple[str, Labels, Pprof, int]] = []
        for series in batch:
            for identity, raw in series.samples:
                try:
                    plain = inflate(raw)
                    parsed.append((identity, tuple(series.labels), parse_pprof(plain), len(plain)))
                except TooLargeError:
                    limit = _human(MAX_PROFILE_BYTES, 1000, "B")
                    failures.append(
                        _invalid(f"uncompressed profile payload size exceeds limit of {limit}")
                    )
                except WireError as error:
                    failures.append(RefusedError("unknown", str(error)))
        with self._mutex:
            self.pushes += 1
            for index, (identity, labels, profile, size) in enumerate(parsed):
                try:
                    self.profiles += self._series(labels, profile, size)
                except RefusedError as error:
                    failures.append(error)
                except _NilPointerError:
                    text = "runtime error: invalid memory address or nil pointer dereference"
                    failures.append(
                        RefusedError(
                            "unknown",
                            f"push series with index {index} and id {identity} failed: {text}",
                        )
                    )
        if failures:
            raise failures[0]

    def _series(self, given: Labels, profile: Pprof, size: int) -> list[Stored]:
        labels = dict(given)
        if not labels.get("service_name"):
            labels["service_name"] = "unknown_service"
            given = (*given, ("service_name", "unknown_service"))
        self._limit_rate(
            size + sum(len(name.encode()) + len(value.encode()) for name, value in given)
        )
        ordered = tuple(sorted(given))
        self._check_profile(profile, ordered)
        samples = _normalize(profile)
        groups = _groups(profile, samples, labels)
        for group in groups or {ordered: []}:
            _check_labels(group, given)
        return [
            stored
            for group, members in groups.items()
            for stored in self._stored(group, members, profile)
            if stored.stacks
        ]

    def _limit_rate(self, size: int) -> None:
        now = self._clock()
        self._tokens = min(BURST_BYTES, self._tokens + (now - self._filled) * RATE_BYTES)
        self._filled = now
        if size > self._tokens:
            rate, added = _human(RATE_BYTES, 1024, "B"), _human(size, 1024, "B")
            raise RefusedError(
                "resource_exhausted", f"push rate limit ({rate}) exceeded while adding {added}"
            )
        self._tokens -= size

    def _check_profile(self, profile: Pprof, labels: Labels) -> None:
        self._check_time(profile, labels)
        count = len(profile.samples)
        if count > MAX_SAMPLES:
            raise _invalid(
                f"the profile with labels '{shown(labels)}' exceeds the samples count limit "
                f"(max_profile_stacktrace_samples, actual: {count}, limit: {MAX_SAMPLES})"
            )
        for sample in profile.samples:
            if len(sample.labels) > MAX_SAMPLE_LABELS:
                raise _invalid(
                    f"the profile with labels '{shown(labels)}' exceeds the sample labels limit "
                    f"(max_profile_stacktrace_sample_labels, actual: {len(sample.labels)}, limit: {MAX_SAMPLE_LABELS})"
                )
            sample.locations = sample.locations[-MAX_DEPTH:]
        _check_form(profile)

    def _check_time(self, profile: Pprof, labels: Labels) -> None:
        now = self._clock()
        profile.time_ns = profile.time_ns or int(now * 1e9)
        when = profile.time_ns / 1e9
        if not now - OLDEST_S <= when <= now + NEWEST_S:
            raise _invalid(
                f"profile with labels '{shown(labels)}' is outside of ingestion window "
                f"(profile timestamp: {_moment(when)}, the ingestion window starts at {_moment(now - OLDEST_S)} "
                f"and ends at {_moment(now + NEWEST_S)})"
            )

    def _stored(self, labels: Labels, samples: list[Sample], profile: Pprof) -> list[Stored]:
        period = [profile.text(index) for index in profile.period_type or (0, 0)]
        found = []
        for column, (kind, unit) in enumerate(profile.sample_types):
            type_id = ":".join(
                [dict(labels)["__name__"], profile.text(kind), profile.text(unit), *period]
            )
            stacks = tuple(
                (_stack(profile, sample), sample.values[column])
                for sample in samples
                if sample.values[column]
            )
            found.append(
                Stored(labels, type_id, profile.time_ns, profile.duration_ns, stacks, self.pushes)
            )
        return found


def _check_form(profile: Pprof) -> None:
    """What makes a message no profile; and strings lose what is too long of them, at their beginning."""
    if not profile.sample_types:
        raise _invalid("sample type is empty")
    if not profile.strings or profile.strings[0]:
        raise _invalid("string 0 should be empty string")
    for sample in profile.samples:
        if len(sample.values) != len(profile.sample_types):
            raise _invalid("sample value length mismatch")
    if 0 in profile.locations:
        raise _invalid("location id is 0")
    if 0 in profile.functions:
        raise _invalid("function id is 0")
    for index, text in enumerate(profile.strings):
        try:
            text.decode()
        except UnicodeDecodeError:
            raise _invalid(f"invalid utf8 string hex: {text.hex()}") from None
        profile.strings[index] = text[-MAX_SYMBOL_BYTES:]
    for kind, _ in profile.sample_types:
        if "-" in profile.text(kind):
            raise _invalid("sample type contains -")


def _stack(profile: Pprof, sample: Sample) -> tuple[str, ...]:
    """Names, root first; a location without lines is not there."""
    return tuple(
        profile.text(profile.functions[function][0])
        for location in reversed(sample.locations)
        for function in reversed(profile.locations[location][1])
    )


def _normalize(profile: Pprof) -> list[Sample]:
    """The samples that stay: no numeric labels, no negative or empty ones, no dangling locations, equal ones added."""
    kept: dict[tuple[object, ...], Sample] = {}
    for sample in profile.samples:
        sample.labels = [label for label in sample.labels if label[1]]
        known = all(
            location in profile.locations and any(profile.locations[location][:2])
            for location in sample.locations
        )
        if not known or min(sample.values) < 0 or not any(sample.values):
            continue
        key = (tuple(sample.locations), tuple(sorted(sample.labels)))
        if key in kept:
            kept[key].values = [a + b for a, b in zip(kept[key].values, sample.values, strict=True)]
        else:
            kept[key] = sample
    used = {location for sample in kept.values() for location in sample.locations}
    # A function that nobody uses any more has its name taken away, and that looks at period_type.
    if profile.period_type is None and any(
        location in profile.locations and location not in used
        for sample in profile.samples
        for location in sample.locations
    ):
        raise _NilPointerError
    return list(kept.values())


def _groups(
    profile: Pprof, samples: list[Sample], series: dict[str, str]
) -> dict[Labels, list[Sample]]:
    """Samples by the labels of the series they go to: a series' own label hides a sample's."""
    groups: dict[Labels, list[Sample]] = {}
    for sample in samples:
        labels: dict[str, str] = {}
        for key, value, _ in sorted(sample.labels):
            name = profile.text(key)
            if name and profile.strings[value] and name not in _NO_SERIES_LABELS:
                labels.setdefault(name, profile.text(value))
        labels.update((name, value) for name, value in series.items() if value)
        groups.setdefault(tuple(sorted(labels.items())), []).append(sample)
    return groups


def _check_labels(labels: Labels, given: Labels) -> None:
    if len(labels) > MAX_LABELS:
        raise _invalid(
            f"profile series '{shown(labels)}' has {len(labels)} label names; limit {MAX_LABELS}"
        )
    if not dict(labels).get("__name__"):
        raise _invalid(f"invalid labels '{shown(labels)}' with error: invalid metric name")
    names = [name for name, _ in given]
    for name, value in labels:
        if len(name.encode()) > MAX_NAME_BYTES:
            raise _invalid(
                f"profile with labels '{shown(labels)}' has label name too long: '{name}'"
            )
        if len(value.encode()) > MAX_VALUE_BYTES:
            raise _invalid(
                f"profile with labels '{shown(labels)}' has label value too long: '{value}'"
            )
        if names.count(name) > 1:
            raise _invalid(
                f"profile with labels '{shown(labels)}' has duplicate label name: '{name}'"
            )


def listed(name: str) -> bool:
    """Whether LabelNames and Series show such a name."""
    return re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", name) is not None
