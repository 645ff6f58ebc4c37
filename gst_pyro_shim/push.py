# SPDX-License-Identifier: MIT
"""One push to one Pyroscope server: the request, and what the answer means.

`ssl` is imported for https only.

Context: agent (the exporter's threads). Never on a thread of the application.
"""

from __future__ import annotations

import contextlib
import enum
import json
import re
import socket
import threading
import time
import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from gst_pyro_shim.http1 import GarbledError, HungUpError, connect, receive, send

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    from gst_pyro_shim.endpoint import Endpoint

HANG_UP_S: Final = 0.1
"""Who closes this soon after the request, with not one byte of an answer, has stored nothing.

It is a proxy or a tunnel in front of a server that is away. A server writes what it takes in twice a second and answers
then, so even one that crashes this soon has kept nothing. Taken for "most likely stored", a profile would be dropped at
its second try, while the server merely starts again. Should somebody store it and hang up all the same, each try stores
it again: hence it counts as an error, of which a profile meets few, and not as a server that is unreachable. Time is
only ever measured too long, on the side of "most likely stored".
"""
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


# Statuses whose meaning does not depend on the body. Source: the server's error paths, and its answers.
_BY_STATUS: Final[dict[int, tuple[Fate, str]]] = {
    400: (Fate.REFUSED, "invalid"),
    401: (Fate.PAUSE, "unauthorized"),
    408: (Fate.UNCONFIRMED, "unconfirmed"),
    413: (Fate.REFUSED, "too_large"),
    500: (Fate.SERVER_ERROR, "server_error"),
    502: (Fate.RETRY, "unavailable"),
    503: (Fate.RETRY, "unavailable"),
    504: (Fate.UNCONFIRMED, "unconfirmed"),
}
_HOPELESS_429: Final = ("Maximum active series limit", "larger than configured max")
_RESET_AT: Final = re.compile(r"next reset at ([0-9T:.Z+-]+)")


def encode_push(labels: Mapping[str, str], profile: bytes) -> bytes:
    """The gzipped body of a push of one profile.

    Args:
        labels: of the series; empty values are left out, since the server does so.
        profile: plain pprof.
    """
    from gst_pyro_shim.schema import PushRequest

    request = PushRequest()
    series = request.series.add()
    for name, value in sorted(labels.items()):
        if value:
            series.labels.add(name=name, value=value)
    series.samples.add(raw_profile=profile)
    # Level 1: pprof's repetitions are found at any level, and this CPU is taken from the profiled machine.
    squeeze = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    return squeeze.compress(request.SerializeToString()) + squeeze.flush()


class Attempt:
    """A push under way, as the thread sees it that may have to end it.

    Attributes:
        is_sent: some of the body may be with the server; stays as it is once aborted.
    """

    __slots__ = ("_aborted", "_connection", "_lock", "is_sent")

    def __init__(self) -> None:
        self.is_sent = False
        self._lock = threading.Lock()
        self._aborted = False
        self._connection: socket.socket | None = None

    def opened(self, connection: socket.socket) -> None:
        """It waits on this socket from now on.

        Raises:
            OSError: it was aborted.
        """
        with self._lock:
            self._check()
            self._connection = connection

    def begin_send(self) -> None:
        """The next that goes out is the body.

        Raises:
            OSError: it was aborted, and nothing may go out.
        """
        with self._lock:
            self._check()
            self.is_sent = True

    def _check(self) -> None:
        if self._aborted:
            raise OSError("the end came first")

    def abort(self) -> None:
        """Makes whatever waits on the socket return; no other is waited on, and no sending begins."""
        with self._lock:
            self._aborted = True
            if self._connection is not None:
                with contextlib.suppress(OSError):
                    # Not SSLSocket's own: it takes the encryption off first, and what is sent then goes out in clear.
                    socket.socket.shutdown(self._connection, socket.SHUT_RDWR)


class Pusher:
    """Sends bodies to one server, each over a connection of its own. Safe to use from many threads."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._context: ssl.SSLContext | None = None

    def warm_up(self) -> None:
        """Imports ssl and reads the system's certificates, where https is spoken.

        An exit handler that pushes must be registered after this: OpenSSL registers one that takes it down.
        SSL_CERT_FILE and SSL_CERT_DIR name other certificates.
        """
        if self.endpoint.https and self._context is None:
            import ssl

            self._context = ssl.create_default_context()

    def push(self, body: bytes, timeout_s: float, attempt: Attempt) -> Answer:
        """One attempt, over within `timeout_s` (name look-up excepted: the C library's cannot be interrupted).

        Args:
            body: from `encode_push`.
            timeout_s: for everything together.
            attempt: a new one; lets another thread end this.
        """
        deadline = time.monotonic() + timeout_s
        host, port = self.endpoint.host, self.endpoint.port
        sent_at = 0.0  # when sending began, once all is out
        try:
            self.warm_up()
            with contextlib.closing(
                connect(host, port, self._context, deadline, attempt.opened)
            ) as connection:
                attempt.begin_send()
                request = self._request(body)
                begin = time.monotonic()
                if send(connection, request, deadline):
                    sent_at = begin
                status, headers, answer = receive(connection, deadline)
        except GarbledError as error:
            return Answer(Fate.RETRY, "no_http", f"what answers is no HTTP server ({error})")
        except OSError as error:
            text = _plain(error)
            if sent_at:
                took_s = time.monotonic() - sent_at
                if isinstance(error, HungUpError) and took_s < HANG_UP_S:
                    return Answer(Fate.SERVER_ERROR, "server_error", "it hangs up at once")
                return Answer(Fate.UNCONFIRMED, "unconfirmed", f"sent, but no answer: {text}")
            return Answer(Fate.RETRY, _trouble(error), text)
        return classify(status, headers, answer, self.endpoint.hidden)

    def _request(self, body: bytes) -> bytes:
        lines = [f"POST {self.endpoint.path} HTTP/1.1", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in self.endpoint.headers]
        return "\r\n".join(lines).encode("utf-8") + b"\r\n\r\n" + body


def _trouble(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "timeout"
    # By name: the class is there only once ssl has been imported.
    return "tls" if "SSL" in type(error).__name__ else "unreachable"


def _plain(error: OSError) -> str:
    return str(error.strerror or error) or type(error).__name__


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
    if 300 <= status < 400:
        return Answer(Fate.REFUSED, "redirect", f"{text} (redirects are not followed)")
    if status == 429:
        return _throttled(body, text)
    # Above 504: proxies' own, such as Cloudflare's 520 to 530 for a server that is down.
    other = _BY_STATUS[500] if status > 504 else (Fate.REFUSED, "refused")
    fate, reason = _BY_STATUS.get(status, other)
    return Answer(fate, reason, text)


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
