# SPDX-License-Identifier: MIT
"""A Pyroscope in small, on loopback: takes what one host's pyroscope-io pushes.

Speaks push.v1.PusherService/Push as the server does (proto or JSON, transport and profiles gzipped
or not). Only who knows the token gets in: other users of the machine can reach loopback too.

Context: agent, outside the host. One thread accepts, one thread for each connection;
none of them runs Python's signal handlers.
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import http.server
import json
import secrets
import socket
import socketserver
import threading
import zlib
from collections import Counter
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import DecodeError

from gst_pyro_shim.errors import ProfileFormatError
from gst_pyro_shim.pprof.schema import PushRequest
from gst_pyro_shim.protocol import PUSH_PATH, TOKEN_HEADER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Self

# Of a request, as sent and as inflated. The agent splits at 1.5 MiB.
_MAX_BODY_BYTES: Final = 16 * 1024 * 1024
_READ_TIMEOUT_S: Final = 10.0
_MOST_PROBLEMS: Final = 100
"""Texts that are kept; all are counted."""


class _RefusedError(Exception):
    """A request that gets an error for an answer."""

    def __init__(self, status: HTTPStatus, code: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.code = code


def _invalid(text: str) -> _RefusedError:
    return _RefusedError(HTTPStatus.BAD_REQUEST, "invalid_argument", text)


class Collector:
    """Listens from construction on, answers once started; a context manager that closes at the end.

    Attributes:
        token: to be sent in the header `TOKEN_HEADER` of each push.
    """

    def __init__(self, take: Callable[[str, bytes], None]) -> None:
        """Listens on a free port of 127.0.0.1.

        Args:
            take: gets name and bytes of each profile, in any thread.

        Raises:
            OSError: no socket could be had.
        """
        self.token = secrets.token_urlsafe(24)
        self._take = take
        self._lock = threading.Lock()
        self._busy = 0
        self._problems: dict[str, None] = {}
        self._counters: Counter[str] = Counter()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.collector = self
        self._is_closing = False
        self._thread = threading.Thread(target=self._serve, name="gst-pyro-collector", daemon=True)

    @property
    def url(self) -> str:
        """Base URL, without trailing slash."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def problems(self) -> list[str]:
        """What was refused and why, each once."""
        with self._lock:
            return list(self._problems)

    @property
    def counters(self) -> dict[str, int]:
        """A copy: `refused_pushes`, and `dropped_unreadable`, profiles of pushes that were taken."""
        with self._lock:
            return dict(self._counters)

    def start(self) -> None:
        """Answers from now on."""
        self._thread.start()

    def __enter__(self) -> Self:
        """Nothing to do: it listens already."""
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
        """Closes the socket; connections that are still open are left to end with their clients."""
        if self._thread.is_alive():
            self._is_closing = True
            self._server.socket.shutdown(socket.SHUT_RDWR)  # ends the wait for a connection
            self._thread.join()
        self._server.server_close()

    def _serve(self) -> None:
        """As serve_forever() does, which wakes up again and again to see whether it shall stop."""
        while not self._is_closing:
            self._server.handle_request()

    @property
    def is_busy(self) -> bool:
        """A request is being read, answered or merged."""
        with self._lock:
            return self._busy > 0

    @contextlib.contextmanager
    def request(self) -> Iterator[None]:
        """While a request is handled it is not the moment to close."""
        with self._lock:
            self._busy += 1
        try:
            yield
        finally:
            with self._lock:
                self._busy -= 1

    def complain(self, counter: str, problem: str) -> None:
        """Counts something that was not taken; `problems` has it once."""
        with self._lock:
            self._counters[counter] += 1
            if len(self._problems) < _MOST_PROBLEMS:
                self._problems[problem] = None

    def add(self, profiles: list[tuple[str, bytes]]) -> None:
        """Adds encoded profiles; one that cannot be read becomes one of `problems`."""
        for name, raw in profiles:
            try:
                self._take(name, raw)
            except ProfileFormatError as error:
                self.complain("dropped_unreadable", error.message)
            except Exception as error:  # noqa: BLE001  the others of this push are as good as ever
                text = f"A profile was lost ({type(error).__name__}: {error})."
                self.complain("dropped_unreadable", text)


def _profiles(request: Any) -> list[tuple[str, bytes]]:
    """Names and bytes of the profiles of a PushRequest.

    Raises:
        _RefusedError: it holds no profile at all.
    """
    if not any(series.samples for series in request.series):
        raise _invalid("no profiles received")
    found = []
    for series in request.series:
        names = {label.name: label.value for label in series.labels}
        name = names.get("__name__", "")
        found += [(name, sample.raw_profile) for sample in series.samples]
    return found


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    collector: Collector

    def server_bind(self) -> None:
        """Binds without asking the resolver for this machine's name, which can take seconds."""
        socketserver.TCPServer.server_bind(self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is the client's business: nothing on the user's terminal."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _READ_TIMEOUT_S
    server: _Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Says nothing: the terminal belongs to the target."""

    def do_GET(self) -> None:
        """`/ready`, as the server has it."""
        if self.path == "/ready":
            self._answer(HTTPStatus.OK, b"ready", "text/plain")
        else:
            self._refuse(_RefusedError(HTTPStatus.NOT_FOUND, "unimplemented", "not found"))

    def do_POST(self) -> None:
        """A push."""
        collector = self.server.collector
        with collector.request():
            try:
                self._check_token()
                is_json = self._check()
                profiles = _profiles(self._parse(self._body(), is_json=is_json))
            except _RefusedError as error:
                collector.complain("refused_pushes", str(error))
                self._refuse(error)
                return
            except Exception as error:  # noqa: BLE001  whatever it was, the push is gone, and who sent it may not say so
                text = f"a push broke off ({type(error).__name__}: {error})"
                collector.complain("refused_pushes", text)
                self.close_connection = True
                return
            # Answered before it is read: pyroscope-io waits for it, and at its end the host for that.
            kind = "application/json" if is_json else "application/proto"
            self._answer(HTTPStatus.OK, b"{}" if is_json else b"", kind)
            collector.add(profiles)

    def _check_token(self) -> None:
        given = self.headers.get(TOKEN_HEADER, "").encode("utf-8", "replace")
        if not hmac.compare_digest(given, self.server.collector.token.encode()):
            text = "a push without this run's token was refused"
            raise _RefusedError(HTTPStatus.UNAUTHORIZED, "unauthenticated", text)

    def _check(self) -> bool:
        """What is asked for; True where the body is JSON."""
        if self.path != PUSH_PATH:
            raise _RefusedError(HTTPStatus.NOT_FOUND, "unimplemented", f"no such path: {self.path}")
        kind = self.headers.get_content_type()
        if kind not in {"application/proto", "application/json"}:
            text = f"content type {kind} is not understood"
            raise _RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unknown", text)
        return kind == "application/json"

    def _body(self) -> bytes:
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            raise _invalid("a push without Content-Length was refused") from None
        if not 0 <= length <= _MAX_BODY_BYTES:
            text = f"a push of {length} bytes was refused"
            raise _RefusedError(HTTPStatus.TOO_MANY_REQUESTS, "resource_exhausted", text)
        body = self.rfile.read(length)
        if len(body) < length:
            raise _invalid("a push was cut off")
        coding = self.headers.get("Content-Encoding", "identity").strip().lower()
        if coding == "identity":
            return body
        if coding != "gzip":
            text = f'unknown compression "{coding}"'
            raise _RefusedError(HTTPStatus.NOT_IMPLEMENTED, "unimplemented", text)
        inflater = zlib.decompressobj(wbits=31)
        try:
            plain = inflater.decompress(body, _MAX_BODY_BYTES)
        except zlib.error as error:
            raise _invalid(f"a push's gzip data was damaged ({error})") from error
        if not inflater.eof:
            raise _invalid("a push's gzip data was cut off or too large")
        return plain

    def _parse(self, body: bytes, *, is_json: bool) -> Any:
        try:
            return _from_json(body) if is_json else PushRequest.FromString(body)
        except (DecodeError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise _invalid(f"a push could not be parsed ({error})") from error

    def _refuse(self, error: _RefusedError) -> None:
        # What was not read of the body must not be taken for the next request.
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


def _from_json(body: bytes) -> Any:
    """A PushRequest from its JSON form; unknown keys are left out, as the server does."""
    request = PushRequest()
    for given in json.loads(body).get("series", ()):
        series = request.series.add()
        for label in given.get("labels", ()):
            series.labels.add(name=label.get("name", ""), value=label.get("value", ""))
        for sample in given.get("samples", ()):
            series.samples.add(raw_profile=base64.b64decode(sample.get("rawProfile", "")))
    return request
