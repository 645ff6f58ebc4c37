# SPDX-License-Identifier: MIT
"""The project's Pyroscope for tests: answers as the real one did, counts what it stored, and fails on demand.

    python -m tests.support.pyroscope_server [--port 4040] [--https]

prints what arrives until it is stopped. In tests:

    with PyroscopeServer() as server:
        server.always = Fault(delay_s=0.5)
        ... push to server.url ...
        assert server.total("process_cpu:cpu:nanoseconds:cpu:nanoseconds", element="x264enc0") == ...

Context: tests.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import contextlib
import http.server
import json
import signal
import socket
import ssl
import subprocess
import threading
import time
import zlib
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.support.pprof_reader import Series, WireError, parse_push
from tests.support.pyroscope_query import QUERIES
from tests.support.pyroscope_rules import RefusedError, Store, Stored

if TYPE_CHECKING:
    from types import TracebackType

PUSH_PATH = "/push.v1.PusherService/Push"
QUERY_PATH = "/querier.v1.QuerierService/"
_TYPES = ("application/proto", "application/json")


@dataclass(frozen=True)
class Fault:
    """What a push meets instead of, or before, its answer.

    Attributes:
        delay_s: pause before the answer.
        status: the answer's status in place of the true one; nothing is stored, unless `stores`.
        body: the answer's body, with `status`.
        hang: no answer until the server stops.
        close: the connection is closed without an answer.
        raw: these bytes in place of an HTTP answer.
        stores: the push is stored nevertheless.
    """

    delay_s: float = 0.0
    status: int = 0
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    hang: bool = False
    close: bool = False
    raw: bytes = b""
    stores: bool = False

    @property
    def breaks(self) -> bool:
        return bool(self.status or self.hang or self.close or self.raw)


@dataclass(frozen=True)
class Request:
    """A push as it arrived, whatever became of it."""

    headers: dict[str, str]
    series: list[Series]
    at: float


class PyroscopeServer:
    """Listens while the context lasts.

    Attributes:
        store: what was accepted.
        requests: every push that could be read.
        faults: one for each of the next pushes; then `always`.
    """

    def __init__(
        self, port: int = 0, certificate: Path | None = None, host: str = "127.0.0.1"
    ) -> None:
        """Binds.

        Args:
            port: 0 for a free one.
            certificate: PEM file with key and certificate: https is spoken then.
            host: address to bind; "::1" for IPv6.
        """
        self.store = Store()
        self.requests: list[Request] = []
        self.faults: deque[Fault] = deque()
        self.always: Fault | None = None
        self.stopped = threading.Event()
        self._http = _Http((host, port), _Handler, self)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._http.context = context
        name = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if certificate else 'http'}://{name}:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stopped.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def stored(self, type_id: str | None = None, **labels: str) -> list[Stored]:
        """Everything stored under a type and labels."""
        return [
            stored
            for stored in list(self.store.profiles)
            if type_id in {None, stored.type_id}
            and all(stored.label(n) == v for n, v in labels.items())
        ]

    def total(self, type_id: str, **labels: str) -> int:
        """Sum of the values stored under a type and labels."""
        return sum(stored.total for stored in self.stored(type_id, **labels))

    def next_fault(self) -> Fault:
        """For the push that has just come in."""
        try:
            return self.faults.popleft()
        except IndexError:
            return self.always or Fault()


class _Http(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(
        self, address: tuple[str, int], handler: type[_Handler], owner: PyroscopeServer
    ) -> None:
        self.owner = owner
        self.context: ssl.SSLContext | None = None
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, handler)

    def server_bind(self) -> None:
        # Not HTTPServer's: it asks the name service who we are.
        http.server.socketserver.TCPServer.server_bind(self)  # type: ignore[attr-defined]
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.context is None:
            super().finish_request(request, client_address)
            return
        # The handshake is done on the connection's own thread.
        with contextlib.closing(self.context.wrap_socket(request, server_side=True)) as secured:
            super().finish_request(secured, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients may go away as they like."""


class _Answered(Exception):  # noqa: N818
    """The answer is out."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Silence."""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        owner = self.server.owner
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with contextlib.suppress(_Answered):
            if self.path == PUSH_PATH:
                self._check_method()
                self._push(owner, body)
            elif self.path.startswith(QUERY_PATH) and self.path.removeprefix(QUERY_PATH) in QUERIES:
                self._check_method()
                self._query(owner, body)
            elif self.path == "/ready":
                self._send(200, "text/plain", b"ready\n")
            else:
                self._send(404, "text/plain; charset=utf-8", b"404 page not found\n")

    def _check_method(self) -> None:
        if self.command != "POST":
            self._send(405, "", b"", ("Allow", "POST"))
        if self._type not in _TYPES:
            self._send(415, "", b"", ("Accept-Post", ", ".join(_TYPES)))

    @property
    def _type(self) -> str:
        return self.headers.get("Content-Type", "").split(";")[0]

    def _inflate(self, body: bytes) -> bytes:
        coding = self.headers.get("Content-Encoding", "identity")
        if coding == "gzip":
            try:
                return zlib.decompress(body, zlib.MAX_WBITS | 16)
            except zlib.error as error:
                raise RefusedError("invalid_argument", f"decompress: {error}") from None
        if coding != "identity":
            raise RefusedError(
                "unimplemented", f'unknown compression "{coding}": supported encodings are gzip'
            )
        return body

    def _push(self, owner: PyroscopeServer, body: bytes) -> None:
        fault = owner.next_fault()
        try:
            series = self._series(self._inflate(body))
            owner.requests.append(Request(dict(self.headers.items()), series, time.monotonic()))
            if not fault.breaks or fault.stores:
                owner.store.push(series)
            self._break(owner, fault)
        except RefusedError as error:
            self._refuse(error)
        self._send(200, self._type, b"{}" if self._type.endswith("json") else b"")

    def _series(self, body: bytes) -> list[Series]:
        try:
            return _from_json(body) if self._type.endswith("json") else parse_push(body)
        except WireError as error:
            raise RefusedError("invalid_argument", f"unmarshal message: {error}") from None

    def _break(self, owner: PyroscopeServer, fault: Fault) -> None:
        owner.stopped.wait(fault.delay_s or (None if fault.hang else 0))
        if fault.hang or fault.close or fault.raw:
            with contextlib.suppress(OSError):
                self.connection.sendall(fault.raw)
            self.close_connection = True
            raise _Answered
        if fault.status:
            self._send(fault.status, "application/json", fault.body.encode(), *fault.headers)

    def _query(self, owner: PyroscopeServer, body: bytes) -> None:
        try:
            question = json.loads(self._inflate(body))
            answer = QUERIES[self.path.removeprefix(QUERY_PATH)](owner.store, question)
        except (ValueError, AttributeError) as error:
            self._refuse(RefusedError("invalid_argument", f"unmarshal message: {error}"))
        except RefusedError as error:
            self._refuse(error)
        self._send(200, "application/json", json.dumps(answer).encode())

    def _refuse(self, error: RefusedError) -> None:
        text = json.dumps(
            {"code": error.code, "message": error.message},
            ensure_ascii=False,
            separators=(",", ":"),
        )
        self._send(error.status, "application/json", text.encode())

    def _send(self, status: int, content_type: str, body: bytes, *headers: tuple[str, str]) -> None:
        # As the real one: who sends gzip gets gzip, whatever he said he accepts.
        gzipped = (
            bool(body) and self.headers.get("Content-Encoding") == "gzip" and "json" in content_type
        )
        if gzipped:
            squeeze = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
            body = squeeze.compress(body) + squeeze.flush()
        with contextlib.suppress(OSError):
            self.send_response(status)
            if content_type:
                self.send_header("Content-Type", content_type)
            if gzipped:
                self.send_header("Content-Encoding", "gzip")
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        raise _Answered


def _from_json(body: bytes) -> list[Series]:
    try:
        message = json.loads(body)
        return [
            Series(
                [(label["name"], label["value"]) for label in series.get("labels", ())],
                [
                    (sample.get("ID", ""), base64.b64decode(sample.get("rawProfile", "")))
                    for sample in series.get("samples", ())
                ],
            )
            for series in message.get("series", ())
        ]
    except (ValueError, AttributeError, KeyError, TypeError, binascii.Error) as error:
        raise WireError(str(error)) from None


def make_certificate(directory: Path) -> Path:
    """A self-signed certificate for loopback, with its key, in one PEM file; also fit for SSL_CERT_FILE."""
    key, certificate, both = (
        directory / name for name in ("key.pem", "certificate.pem", "both.pem")
    )
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"),
            *("ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-keyout", str(key), "-out", str(certificate)),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"),
        ],
        check=True,
        capture_output=True,
        timeout=30,
    )
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    return both


def main() -> None:
    """Serves until SIGINT or SIGTERM, and says what was stored."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=4040)
    parser.add_argument(
        "--https", metavar="PEM", type=Path, help="speak https with this key and certificate"
    )
    arguments = parser.parse_args()
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    with PyroscopeServer(arguments.port, arguments.https) as server:
        print(f"listening on {server.url}", flush=True)
        known = 0
        while not done.wait(0.2):
            for stored in server.store.profiles[known:]:
                print(f"{stored.type_id} {dict(stored.labels)} {stored.total}", flush=True)
                known += 1


if __name__ == "__main__":
    main()
