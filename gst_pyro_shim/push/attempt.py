# SPDX-License-Identifier: MIT
"""One push to one Pyroscope server; answer.py decides what the answer means.

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
"""A connection that is closed sooner than this after the request, without one byte of an answer, has stored nothing.

- What closes it is a proxy or a tunnel whose server is away. A server that takes a profile writes it within half a
  second and answers after that. So even a server that crashes this soon has kept nothing.
- The push therefore counts as an error, not as unanswered. An unanswered profile is pushed only once more and then
  dropped, which would lose it while its server merely restarts.
- It counts as an error, of which a profile may have MAX_ERRORS, and not as "unreachable", which has no limit. So a peer
  that stores a profile and then closes the connection at once gets a bounded number of duplicates.
- On a busy machine the measured time can only be too long. The push then counts as unanswered, which is the safe side:
  no duplicates.
"""


def encode_push(labels: Mapping[str, str], profile: bytes) -> bytes:
    """The gzipped body of a push of one profile.

    Args:
        labels: of the series; those with an empty value are left out, as the server would.
        profile: plain pprof.
    """
    from gst_pyro_shim.pprof.schema import PushRequest

    request = PushRequest()
    series = request.series.add()
    for name, value in sorted(labels.items()):
        if value:
            series.labels.add(name=name, value=value)
    series.samples.add(raw_profile=profile)
    # Level 1 finds pprof's repetitions too, and the CPU time for it is taken from the profiled machine.
    compressor = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    return compressor.compress(request.SerializeToString()) + compressor.flush()


class Attempt:
    """A handle on a push that is under way, by which another thread can end it.

    Attributes:
        is_sent: part of the body may have reached the server. Does not change after `abort`.
    """

    __slots__ = ("_aborted", "_connection", "_lock", "is_sent")

    def __init__(self) -> None:
        self.is_sent = False
        self._lock = threading.Lock()
        self._aborted = False
        self._connection: socket.socket | None = None

    def opened(self, connection: socket.socket) -> None:
        """Notes the socket on which the push waits from now on.

        Raises:
            OSError: the push was aborted.
        """
        with self._lock:
            self._check()
            self._connection = connection

    def begin_send(self) -> None:
        """Notes that the body is sent next.

        Raises:
            OSError: the push was aborted; nothing may be sent.
        """
        with self._lock:
            self._check()
            self.is_sent = True

    def _check(self) -> None:
        if self._aborted:
            raise OSError("the end came first")

    def abort(self) -> None:
        """Ends the push: what waits on its socket returns; it opens no other socket, and begins to send nothing."""
        with self._lock:
            self._aborted = True
            if self._connection is not None:
                with contextlib.suppress(OSError):
                    # Not SSLSocket.shutdown: it removes the encryption first, and what is sent then is in clear.
                    socket.socket.shutdown(self._connection, socket.SHUT_RDWR)


class Pusher:
    """Sends bodies to one server, each over a connection of its own. Safe to use from many threads."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._context: ssl.SSLContext | None = None

    def warm_up(self) -> None:
        """Imports ssl and reads the system's certificates, where https is spoken.

        Register an exit handler that pushes after this call: OpenSSL registers one that frees what a push needs, and
        exit handlers run last first. SSL_CERT_FILE and SSL_CERT_DIR name other certificates.
        """
        if self.endpoint.https and self._context is None:
            import ssl

            self._context = ssl.create_default_context()

    def push(self, body: bytes, timeout_s: float, attempt: Attempt) -> Answer:
        """One attempt, which ends within `timeout_s`, but for the C library's name look-up: nothing interrupts that.

        Args:
            body: from `encode_push`.
            timeout_s: for everything together.
            attempt: a new one, by which another thread can end the push.
        """
        deadline = time.monotonic() + timeout_s
        host, port = self.endpoint.host, self.endpoint.port
        sent_at = 0.0  # when sending began; stays 0 unless the whole request was sent
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
            return Answer(Fate.RETRY, "no_http", f"what answers there is no HTTP server ({error})")
        except OSError as error:
            text = _plain(error)
            if sent_at:
                took_s = time.monotonic() - sent_at
                if isinstance(error, HungUpError) and took_s < HANG_UP_S:
                    text = "it closes the connection at once, without an answer"
                    return Answer(Fate.SERVER_ERROR, "server_error", text)
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
    # By name: the class exists only after an import of ssl.
    return "tls" if "SSL" in type(error).__name__ else "unreachable"


def _plain(error: OSError) -> str:
    return str(error.strerror or error) or type(error).__name__
