# SPDX-License-Identifier: MIT
"""Asks any Pyroscope, real or ours, over HTTP.

Context: tests.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.support.pyroscope_server import PUSH_PATH, QUERY_PATH

if TYPE_CHECKING:
    from collections.abc import Mapping

CPU_TYPE = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"
COUNT_TYPE = "process_cpu:samples:count:cpu:nanoseconds"
TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Flame:
    """A flame graph: own value by stack, root first; stacks without own value are left out."""

    total: int
    paths: dict[tuple[str, ...], int]


class Client:
    """One server, by its base URL."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        # Loopback is asked directly, whatever proxies the environment names.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def post(
        self, path: str, body: bytes, headers: Mapping[str, str], method: str = "POST"
    ) -> tuple[int, str]:
        """Status and text of the answer."""
        request = urllib.request.Request(
            self.url + path, None if method == "GET" else body, dict(headers), method=method
        )
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as answer:
                return answer.status, _text(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _text(error)

    def push(self, body: bytes, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Pushes a PushRequest."""
        return self.post(PUSH_PATH, body, headers or {"Content-Type": "application/proto"})

    def query(self, method: str, **question: Any) -> Any:
        """An answer of the query API, over all that the server takes: an hour back, ten minutes ahead."""
        now_ms = int(time.time() * 1000)
        question = {"start": now_ms - 7_200_000, "end": now_ms + 1_200_000, **question}
        status, text = self.post(
            QUERY_PATH + method,
            json.dumps(question).encode(),
            {"Content-Type": "application/json"},
        )
        assert status == 200, f"{method} {question}: {status} {text}"
        return json.loads(text)

    def label_values(self, name: str, **labels: str) -> list[str]:
        """Values of a label among the series with these labels."""
        answer = self.query("LabelValues", name=name, matchers=[selector(**labels)])
        return sorted(answer.get("names", []))

    def label_names(self, **labels: str) -> list[str]:
        """Names of labels among the series with these labels, the server's own left out."""
        names = self.query("LabelNames", matchers=[selector(**labels)]).get("names", [])
        return sorted(name for name in names if not name.startswith("__"))

    def series(self, names: list[str], **labels: str) -> list[dict[str, str]]:
        """The distinct values of some labels among the series with these labels."""
        found = self.query("Series", matchers=[selector(**labels)], labelNames=names)
        return [
            {pair["name"]: pair["value"] for pair in row["labels"]}
            for row in found.get("labelsSet", [])
        ]

    def profile_types(self) -> list[str]:
        """All profile types."""
        return sorted(each["ID"] for each in self.query("ProfileTypes").get("profileTypes", []))

    def flame(self, profile_type: str = CPU_TYPE, **labels: str) -> Flame:
        """The merged stacks of the series with these labels."""
        answer = self.query(
            "SelectMergeStacktraces",
            profileTypeID=profile_type,
            labelSelector=selector(**labels),
            maxNodes=65536,
        )
        return _flame(answer.get("flamegraph", {}))


def selector(**labels: str) -> str:
    """`{name="value", …}`."""
    pairs = (f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in labels.items())
    return "{" + ", ".join(pairs) + "}"


def _text(answer: Any) -> str:
    body = answer.read()
    if answer.headers.get("Content-Encoding") == "gzip":
        body = zlib.decompress(body, zlib.MAX_WBITS | 16)
    return str(body, "utf-8")


def _flame(graph: Mapping[str, Any]) -> Flame:
    """Bars are (offset from the end of the bar before, total, self, name), level by level."""
    paths: dict[tuple[str, ...], int] = {}
    above: list[tuple[int, int, tuple[str, ...]]] = []
    for depth, level in enumerate(graph.get("levels", [])):
        values = [int(value) for value in level.get("values", [])]
        bars = []
        at = 0
        for offset, total, own, name in zip(*(iter(values),) * 4, strict=True):
            left = at + offset
            at = left + total
            stack: tuple[str, ...] = ()
            if depth:
                parent = next(
                    path for begin, end, path in above if begin <= left < end or not total
                )
                stack = (*parent, graph["names"][name])
            bars.append((left, at, stack))
            if own:
                paths[stack] = paths.get(stack, 0) + own
        above = bars
    return Flame(int(graph.get("total", 0)), paths)
