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
    """What an attempt means for the profile."""

    STORED = "stored"
    REFUSED = "refused"  # this server never takes this profile
    RETRY = "retry"  # not stored; the server's trouble, not the profile's
    SERVER_ERROR = "server_error"  # not stored; unknown whose fault: retried a few times only
    UNCONFIRMED = "unconfirmed"  # sent, no answer: most likely stored; nobody removes duplicates
    PAUSE = "pause"  # wrong credentials: no push succeeds until somebody changes them


@dataclass(frozen=True, slots=True)
class Answer:
    """How one attempt ended.

    Attributes:
        fate: what to do with the profile.
        reason: one word: the suffix of `dropped_<reason>`, and the kind of message that is logged once.
        text: what happened, for people; holds no secret.
        wait_s: how long the server asks to wait, in seconds; 0 where it does not.
    """

    fate: Fate
    reason: str
    text: str
    wait_s: float = 0.0


# Sources: the server's error paths, and its answers. A gateway answers by itself while the server behind it restarts or
# is away. Such an answer says nothing of the profile, which then waits as for a server that does not answer at all.
# Traefik's 404 equals the server's own to the letter; a maintenance page refuses POST (405) or is elsewhere (302).
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
    "forbidden": "the credentials allow no pushes, or a gateway lets nobody in",
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
"""A host whose clock is ahead by more would wait longer than a profile is kept."""


def classify(
    status: int, headers: Mapping[str, str], body: bytes, hidden: Callable[[str], str] = str
) -> Answer:
    """What an answer means for the profile.

    Args:
        status: of HTTP.
        headers: by name in lower case.
        body: possibly cut off.
        hidden: masks secrets in a text.
    """
    if status == 200:
        # A captive portal or a web server answers 200 as well, with a page.
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
    # Proxies have codes of their own above 504, such as Cloudflare's 520 to 530 for a server that is down.
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
            fate = Fate.SERVER_ERROR  # from a gateway: it says nothing of this profile
    hint = _HINTS.get(reason, "")
    return Answer(fate, reason, f"{text} ({hint})" if hint else text, wait_s)


def _is_connect(body: bytes) -> bool:
    """Whether an error has the form of all of Pyroscope's own."""
    with contextlib.suppress(ValueError, RecursionError):
        error = json.loads(body)
        return isinstance(error, dict) and isinstance(error.get("code"), str)
    return False


def _ahead_s(body: bytes) -> float:
    """Seconds until the server takes a profile that began after the server's own time; 0 where it never will."""
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
    # A profile larger than the allowed burst gets this answer every time: so it is limited, like an error.
    return Answer(Fate.SERVER_ERROR, "throttled", text)


def _message(body: bytes, hidden: Callable[[str], str]) -> str:
    """The server's message: of Connect's `{"code": …, "message": …}`, or the first line of anything else."""
    text = body.decode("utf-8", "replace")
    with contextlib.suppress(ValueError, RecursionError):
        error = json.loads(text)
        if isinstance(error, dict) and isinstance(error.get("message"), str):
            code = error.get("code")
            text = f"{error['message']} ({code})" if isinstance(code, str) else error["message"]
    lines = text.strip().splitlines() or [""]
    # Masked before it is cut: half a secret would not be found.
    line = hidden(lines[0])
    line = "".join(character if character.isprintable() else "?" for character in line)
    return line if len(line) <= _MESSAGE_CHARS else line[:_MESSAGE_CHARS] + "…"
