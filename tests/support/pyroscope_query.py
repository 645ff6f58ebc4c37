# SPDX-License-Identifier: MIT
"""The server's query API as far as tests ask it: selectors, label queries, flame graphs.

Context: tests.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.support.pyroscope_rules import RefusedError, Store, Stored, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_MATCHER = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*")\s*(,|$)')
DEFAULT_NODES = 8192


def _invalid(message: str) -> RefusedError:
    return RefusedError("invalid_argument", message)


def selector(text: str) -> Callable[[Stored], bool]:
    """Compiles `{name="value", …}`.

    Raises:
        RefusedError: it is none.
    """
    stripped = text.strip()
    if not (stripped.startswith("{") and stripped.endswith("}")):
        raise _invalid(f"failed to parse label selector: {text}")
    inner, at = stripped[1:-1].strip(), 0
    tests: list[Callable[[Stored], bool]] = []
    while at < len(inner):
        found = _MATCHER.match(inner, at)
        if found is None:
            raise _invalid(f"failed to parse label selector: {text}")
        name, operator, value = found[1], found[2], json.loads(found[3])
        at = found.end()

        def test(
            stored: Stored, name: str = name, operator: str = operator, value: str = value
        ) -> bool:
            if operator in {"=", "!="}:
                return (stored.label(name) == value) == (operator == "=")
            return (re.fullmatch(value, stored.label(name)) is not None) == (operator == "=~")

        tests.append(test)
    return lambda stored: all(each(stored) for each in tests)


def _range(query: Mapping[str, Any]) -> tuple[int, int]:
    start, end = int(query.get("start", 0)), int(query.get("end", 0))
    if not start or not end or start > end:
        raise _invalid("invalid time range")
    return start, end


def _selected(store: Store, query: Mapping[str, Any], selectors: Iterable[str]) -> list[Stored]:
    start, end = _range(query)
    tests = [selector(text) for text in selectors]
    return [
        stored
        for stored in list(store.profiles)
        if start <= stored.time_ns // 1_000_000 < end
        and (not tests or any(test(stored) for test in tests))
    ]


def _labels(stored: Stored) -> dict[str, str]:
    kind, unit, period, period_unit = stored.type_id.split(":")[1:]
    return {
        **dict(stored.labels),
        "__profile_type__": stored.type_id,
        "__type__": kind,
        "__unit__": unit,
        "__period_type__": period,
        "__period_unit__": period_unit,
        "__service_name__": stored.label("service_name"),
    }


def profile_types(store: Store, query: Mapping[str, Any]) -> dict[str, Any]:
    found = sorted({stored.type_id for stored in _selected(store, query, ())})
    keys = ("name", "sampleType", "sampleUnit", "periodType", "periodUnit")
    return {
        "profileTypes": [
            {"ID": each, **dict(zip(keys, each.split(":"), strict=True))} for each in found
        ]
    }


def label_names(store: Store, query: Mapping[str, Any]) -> dict[str, Any]:
    chosen = _selected(store, query, query.get("matchers", ()))
    return {
        "names": sorted({name for stored in chosen for name in _labels(stored) if listed(name)})
    }


def label_values(store: Store, query: Mapping[str, Any]) -> dict[str, Any]:
    chosen = _selected(store, query, query.get("matchers", ()))
    return {"names": sorted({_labels(stored).get(query["name"], "") for stored in chosen} - {""})}


def series(store: Store, query: Mapping[str, Any]) -> dict[str, Any]:
    wanted = query.get("labelNames", ())
    rows = set()
    for stored in _selected(store, query, query.get("matchers", ())):
        labels = {name: value for name, value in _labels(stored).items() if listed(name)}
        rows.add(
            tuple(
                sorted(
                    (name, value) for name, value in labels.items() if not wanted or name in wanted
                )
            )
        )
    return {
        "labelsSet": [
            {"labels": [{"name": n, "value": v} for n, v in row]} for row in sorted(rows) if row
        ]
    }


def select_merge_stacktraces(store: Store, query: Mapping[str, Any]) -> dict[str, Any]:
    type_id = query.get("profileTypeID", "")
    if len(type_id.split(":")) not in {5, 6}:
        raise _invalid(
            f"profile-type selection must be of the form <name>:<type>:<unit>:...: {type_id}"
        )
    if "labelSelector" not in query:
        raise _invalid("label selector is required")
    chosen = _selected(store, query, [query["labelSelector"]])
    totals: Counter[tuple[str, ...]] = Counter()
    own: Counter[tuple[str, ...]] = Counter()
    for stored in chosen:
        if stored.type_id == type_id:
            for stack, value in stored.stacks:
                own[stack] += value
                for depth in range(len(stack) + 1):
                    totals[stack[:depth]] += value
    return {"flamegraph": _flamegraph(totals, own, int(query.get("maxNodes", DEFAULT_NODES)))}


def _flamegraph(
    totals: Counter[tuple[str, ...]], own: Counter[tuple[str, ...]], most: int
) -> dict[str, Any]:
    """Bars by level, offsets from the end of the bar before; what is too small for `most` nodes becomes "other"."""
    smallest = sorted(totals.values(), reverse=True)[most - 1] if len(totals) > most else 0
    children: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for stack in totals:
        if stack and totals[stack] >= smallest:
            children.setdefault(stack[:-1], []).append(stack)
    names = ["total"]
    index = {"total": 0}
    levels: list[list[str]] = []
    ends: list[int] = []

    def bar(depth: int, left: int, total: int, self_value: int, name: str) -> None:
        if depth == len(levels):
            levels.append([])
            ends.append(0)
        if name not in index:
            index[name] = len(names)
            names.append(name)
        levels[depth] += [str(left - ends[depth]), str(total), str(self_value), str(index[name])]
        ends[depth] = left + total

    waiting: list[tuple[tuple[str, ...], int]] = [((), 0)] if totals else []
    while waiting:
        stack, left = waiting.pop()
        bar(len(stack), left, totals[stack], own[stack], stack[-1] if stack else "total")
        at = left + own[stack]
        below = []
        for child in sorted(children.get(stack, ())):
            below.append((child, at))
            at += totals[child]
        waiting += reversed(below)
        rest = left + totals[stack] - at
        if rest:
            bar(len(stack) + 1, at, rest, rest, "other")
    most_self = max(own.values(), default=0)
    return {
        "names": names,
        "levels": [{"values": values} for values in levels],
        "total": str(totals[()]),
        "maxSelf": str(most_self),
    }


QUERIES: dict[str, Callable[[Store, Mapping[str, Any]], dict[str, Any]]] = {
    "ProfileTypes": profile_types,
    "LabelNames": label_names,
    "LabelValues": label_values,
    "Series": series,
    "SelectMergeStacktraces": select_merge_stacktraces,
}
