# SPDX-License-Identifier: MIT
"""A small Pyroscope on loopback: takes what one host's pyroscope-io pushes.

It answers push.v1.PusherService/Push as the server does, in proto or JSON, gzipped or not (push_request.py). A push
needs the collector's token, because other users of the machine can reach loopback too.

Context: agent, outside the host. One thread accepts, and one thread serves each connection. None of them is the
interpreter's main thread, which alone runs Python's signal handlers.
"""

from __future__ import annotations

import contextlib
import hmac
import http.server
import json
import secrets
import socket
import socketserver
import threading
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from gst_pyro_shim.errors import ProfileFormatError
from gst_pyro_shim.problems import Problems
from gst_pyro_shim.protocol import PUSH_PATH, TOKEN_HEADER
from gst_pyro_shim.python import push_request
from gst_pyro_shim.python.push_request import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Self

_READ_TIMEOUT_S: Final = 10.0


class Collector:
    """Listens from construction on, answers after `start`; a context manager that closes at the end.

    Attributes:
        token: each push has to send it, in the header `TOKEN_HEADER`.
        problems: `refused_pushes`; and `dropped_unreadable`, profiles of pushes that were taken.
    """

    def __init__(self, take: Callable[[str, bytes], None]) -> None:
        """Listens on a free port of 127.0.0.1.

        Args:
            take: called with name and bytes of each profile, on any thread.

        Raises:
            OSError: no socket can be made.
        """
        self.token = secrets.token_urlsafe(24)
        self._take = take
        self._lock = threading.Lock()
        self._busy = 0
        self.problems = Problems()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.collector = self
        self._is_closing = False
        self._thread = threading.Thread(target=self._serve, name="gst-pyro-collector", daemon=True)

    @property
    def url(self) -> str:
        """Base URL, without trailing slash."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        """Starts to answer."""
        self._thread.start()

    def __enter__(self) -> Self:
        """Itself, which listens already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes it."""
        self.close()

    def close(self) -> None:
        """Closes the socket. Connections that are open stay until their clients close them."""
        if self._thread.is_alive():
            self._is_closing = True
            self._server.socket.shutdown(socket.SHUT_RDWR)  # ends the wait for a connection
            self._thread.join()
        self._server.server_close()

    def _serve(self) -> None:
        """As serve_forever(), but without its wake-ups to see whether it is to stop."""
        while not self._is_closing:
            self._server.handle_request()

    @property
    def is_busy(self) -> bool:
        """Whether a request is being read, answered or taken."""
        with self._lock:
            return self._busy > 0

    @contextlib.contextmanager
    def request(self) -> Iterator[None]:
        """Notes that a request is being handled, so that nobody closes meanwhile."""
        with self._lock:
            self._busy += 1
        try:
            yield
        finally:
            with self._lock:
                self._busy -= 1

    def add(self, profiles: list[tuple[str, bytes]]) -> None:
        """Hands encoded profiles on; one that cannot be read becomes one of `problems`."""
        for name, raw in profiles:
            try:
                self._take(name, raw)
            except ProfileFormatError as error:
                self.problems.add("dropped_unreadable", error.message)
            except Exception as error:  # noqa: BLE001  the other profiles of this push may be good
                text = f"A profile was lost ({type(error).__name__}: {error})."
                self.problems.add("dropped_unreadable", text)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    collector: Collector

    def server_bind(self) -> None:
        """Binds without a look-up of this machine's name, which can take seconds."""
        socketserver.TCPServer.server_bind(self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Prints nothing about a broken connection: the terminal is the user's."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _READ_TIMEOUT_S
    server: _Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Prints nothing: the terminal is the target's."""

    def do_GET(self) -> None:
        """Answers `/ready`, as the server does."""
        if self.path == "/ready":
            self._answer(HTTPStatus.OK, b"ready", "text/plain")
        else:
            self._refuse(RefusedError(HTTPStatus.NOT_FOUND, "unimplemented", "not found"))

    def do_POST(self) -> None:
        """Takes a push."""
        collector = self.server.collector
        with collector.request():
            try:
                self._check_token()
                is_json = self._check()
                profiles = push_request.profiles(self.headers, self._body())
            except RefusedError as error:
                collector.problems.add("refused_pushes", str(error))
                self._refuse(error)
                return
            except Exception as error:  # noqa: BLE001  whatever it was, the push is lost, and its sender may not say so
                text = f"a push broke off ({type(error).__name__}: {error})"
                collector.problems.add("refused_pushes", text)
                self.close_connection = True
                return
            # Answered before it is taken: pyroscope-io waits for the answer, and at its end the host for pyroscope-io.
            kind = "application/json" if is_json else "application/proto"
            self._answer(HTTPStatus.OK, b"{}" if is_json else b"", kind)
            collector.add(profiles)

    def _check_token(self) -> None:
        given = self.headers.get(TOKEN_HEADER, "").encode("utf-8", "replace")
        if not hmac.compare_digest(given, self.server.collector.token.encode()):
            text = "a push without this run's token was refused"
            raise RefusedError(HTTPStatus.UNAUTHORIZED, "unauthenticated", text)

    def _check(self) -> bool:
        """Checks path and content type; returns whether the body is JSON."""
        if self.path != PUSH_PATH:
            raise RefusedError(HTTPStatus.NOT_FOUND, "unimplemented", f"no such path: {self.path}")
        return push_request.is_json(self.headers)

    def _body(self) -> bytes:
        length = push_request.length(self.headers)
        body = self.rfile.read(length)
        if len(body) < length:
            raise push_request.invalid("a push was cut off")
        return body

    def _refuse(self, error: RefusedError) -> None:
        # Else the part of the body that was not read would be taken for the next request.
        self.close_connection = True
        body = json.dumps({"code": error.code, "message": str(error)}).encode()
        self._answer(error.status, body, "application/json")

    def _answer(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        with contextlib.suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)
