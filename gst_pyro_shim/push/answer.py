# SPDX-License-Identifier: MIT
"""What a server's answer to a push means for the profile.

Context: agent (the exporter's threads). Pure data, no I/O.
"""

from __future__ import annotations

import contextlib
import enum
import json
import re
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MESSAGE_CHARS: Final = 300


class Fate(enum.Enum):
    """What became of a pushed profile."""

    STORED = "stored"
    REFUSED = "refused"  # this profile never succeeds here
    RETRY = "retry"  # not stored; the server's trouble, not the profile's
    SERVER_ERROR = "server_error"  # not stored; whose fault cannot be told: a few times only
    UNCONFIRMED = "unconfirmed"  # sent, no answer: most likely stored; nobody removes duplicates
    PAUSE = "pause"  # credentials are wrong: nothing succeeds until somebody changes them


@dataclass(frozen=True, slots=True)
class Answer:
    """How one attempt ended.

    Attributes:
        fate: what to do with the profile.
        reason: word for counters and for "said once"; also the suffix of `dropped_<reason>`.
        text: what happened, for people; never holds a secret.
        wait_s: the server's own word on when to come back; 0 where it gave none.
    """

    fate: Fate
    reason: str
    text: str
    wait_s: float = 0.0


# Source: the server's error paths, and its answers. What gateways answer while the server behind them restarts, or is
# away for long, is no word on the profile: Traefik's 404 is the server's own to the letter, and a page for maintenance
# knows no POST (405) or is elsewhere (302). Such a profile waits as for a server that does not answer at all.
_BY_STATUS: Final[dict[int, tuple[Fate, str]]] = {
    302: (Fate.RETRY, "redirect"),
    303: (Fate.RETRY, "redirect"),
    307: (Fate.RETRY, "redirect"),
    400: (Fate.REFUSED, "invalid"),
    401: (Fate.PAUSE, "unauthorized"),
    403: (Fate.PAUSE, "forbidden"),
    404: (Fate.RETRY, "not_found"),
    405: (Fate.RETRY, "not_found"),
    407: (Fate.PAUSE, "unauthorized"),
    408: (Fate.UNCONFIRMED, "unconfirmed"),
    410: (Fate.RETRY, "not_found"),
    413: (Fate.REFUSED, "too_large"),
    421: (Fate.RETRY, "not_found"),
    425: (Fate.RETRY, "unavailable"),
    499: (Fate.SERVER_ERROR, "server_error"),
    500: (Fate.SERVER_ERROR, "server_error"),
    502: (Fate.RETRY, "unavailable"),
    503: (Fate.RETRY, "unavailable"),
    504: (Fate.UNCONFIRMED, "unconfirmed"),
}
_HINTS: Final = {
    "forbidden": "the credentials allow no pushes, or a gateway allows nobody in",
    "not_found": "a gateway whose server is away, or a URL that leads elsewhere",
    "redirect": "redirects are not followed",
    "ahead": "this host's clock is ahead of the server's",
}
_HOPELESS_429: Final = ("Maximum active series limit", "larger than configured max")
_RESET_AT: Final = re.compile(r"next reset at ([0-9T:.Z+-]+)")
_WINDOW: Final = re.compile(
    r"outside of ingestion window \(profile timestamp: ([0-9 :.-]+) \+0000.* ends at ([0-9 :.-]+) \+0000"
)
_MOST_AHEAD_S: Final = 3600.0
"""Who is ahead by more would wait longer than a profile is kept."""


def classify(
    status: int, headers: Mapping[str, str], body: bytes, hidden: Callable[[str], str] = str
) -> Answer:
    """What an answer means for the profile.

    Args:
        status: of HTTP.
        headers: names lowered.
        body: as far as it came.
        hidden: takes secrets out of a text.
    """
    if status == 200:
        # A captive portal or a web server answers 200 too, with a page.
        if (
            body
            and "json" not in headers.get("content-type", "")
            and "proto" not in headers.get("content-type", "")
        ):
            return Answer(
                Fate.RETRY, "no_pyroscope", "a server answers there that is not Pyroscope"
            )
        return Answer(Fate.STORED, "stored", "stored")
    text = f"HTTP {status}: {_message(body, hidden)}".rstrip(": ")
    if status == 429:
        return _throttled(body, text)
    # Above 504: proxies' own, such as Cloudflare's 520 to 530 for a server that is down.
    other = _BY_STATUS[500] if status > 504 else (Fate.REFUSED, "refused")
    if 300 <= status < 400:
        other = (Fate.REFUSED, "redirect")
    fate, reason = _BY_STATUS.get(status, other)
    wait_s = 0.0
    if status == 400:
        wait_s = _ahead_s(body)
        if wait_s:
            fate, reason = Fate.RETRY, "ahead"
        elif not _is_connect(body):
            fate = Fate.SERVER_ERROR  # of somebody in between, and no word on this profile
    hint = _HINTS.get(reason, "")
    return Answer(fate, reason, f"{text} ({hint})" if hint else text, wait_s)


def _is_connect(body: bytes) -> bool:
    """Whether an error is told as Pyroscope tells all of its own."""
    with contextlib.suppress(ValueError, RecursionError):
        error = json.loads(body)
        return isinstance(error, dict) and isinstance(error.get("code"), str)
    return False


def _ahead_s(body: bytes) -> float:
    """How long until the server takes a profile that began after its own time; 0 where it is refused for good."""
    found = _WINDOW.search(body.decode("utf-8", "replace"))
    if found is None:
        return 0.0
    try:
        start, end = map(datetime.fromisoformat, found.groups())
    except ValueError:
        return 0.0
    ahead_s = (start - end).total_seconds()
    return ahead_s if 0.0 < ahead_s <= _MOST_AHEAD_S else 0.0


def _throttled(body: bytes, text: str) -> Answer:
    message = body.decode("utf-8", "replace")
    if any(words in message for words in _HOPELESS_429):
        return Answer(Fate.REFUSED, "limit", text)
    found = _RESET_AT.search(message)
    if found is not None:
        with contextlib.suppress(ValueError):
            wait_s = datetime.fromisoformat(found[1]).timestamp() - time.time()
            return Answer(Fate.RETRY, "throttled", text, max(wait_s, 1.0))
    # Of a profile above the burst this would come for ever: hence bounded, like an error.
    return Answer(Fate.SERVER_ERROR, "throttled", text)


def _message(body: bytes, hidden: Callable[[str], str]) -> str:
    """The server's words: Connect's `{"code": …, "message": …}`, or the first line of anything else."""
    text = body.decode("utf-8", "replace")
    with contextlib.suppress(ValueError, RecursionError):
        error = json.loads(text)
        if isinstance(error, dict) and isinstance(error.get("message"), str):
            code = error.get("code")
            text = f"{error['message']} ({code})" if isinstance(code, str) else error["message"]
    lines = text.strip().splitlines() or [""]
    # Before it is cut: half a secret is not known as one.
    line = hidden(lines[0])
    line = "".join(character if character.isprintable() else "?" for character in line)
    return line if len(line) <= _MESSAGE_CHARS else line[:_MESSAGE_CHARS] + "…"
