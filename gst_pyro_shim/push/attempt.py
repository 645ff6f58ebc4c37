# SPDX-License-Identifier: MIT
"""One push to one Pyroscope server; answer.py says what its answer means.

`ssl` is imported for https only.

Context: agent (the exporter's threads). Never on a thread of the application.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import zlib
from typing import TYPE_CHECKING, Final

from gst_pyro_shim.push.answer import Answer, Fate, classify
from gst_pyro_shim.push.http1 import GarbledError, HungUpError, connect, receive, send

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from gst_pyro_shim.push.endpoint import Endpoint

HANG_UP_S: Final = 0.1
"""Who closes this soon after the request, with not one byte of an answer, has stored nothing.

It is a proxy or a tunnel in front of a server that is away. A server writes what it takes in twice a second and answers
then, so even one that crashes this soon has kept nothing. Taken for "most likely stored", a profile would be dropped at
its second try, while the server merely starts again. Should somebody store it and hang up all the same, each try stores
it again: hence it counts as an error, of which a profile meets few, and not as a server that is unreachable. Time is
only ever measured too long, on the side of "most likely stored".
"""


def encode_push(labels: Mapping[str, str], profile: bytes) -> bytes:
    """The gzipped body of a push of one profile.

    Args:
        labels: of the series; empty values are left out, since the server does so.
        profile: plain pprof.
    """
    from gst_pyro_shim.pprof.schema import PushRequest

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
