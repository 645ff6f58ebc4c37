# SPDX-License-Identifier: MIT
"""One HTTP/1.1 exchange over a plain or TLS socket, under one deadline for everything.

Why not http.client: it always loads OpenSSL, takes 30 ms to import, and its timeouts hold for each read, so that a
server that sends single bytes holds the caller for ever.

Redirects are not followed and proxy variables are not read. Compressed answers are understood: the server compresses
them unasked.

Context: agent (the exporter's threads).
"""

from __future__ import annotations

import contextlib
import errno
import re
import socket
import time
import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

_ANSWER_BYTES: Final = 65536
_NO_WAY: Final = {errno.EAFNOSUPPORT, errno.ENETUNREACH, errno.EADDRNOTAVAIL}
"""This host cannot reach addresses of that kind, such as IPv6's. The failure of another address says more."""


class GarbledError(Exception):
    """The peer does not speak HTTP."""


class HungUpError(OSError):
    """The peer closed the connection without a byte of an answer."""


def connect(
    host: str,
    port: int,
    tls: ssl.SSLContext | None,
    deadline: float,
    opened: Callable[[socket.socket], None],
) -> socket.socket:
    """Connects to the first of a host's addresses that answers, TLS handshake included.

    Args:
        host: name, in ASCII, or address.
        port: number.
        tls: None for plain HTTP.
        deadline: of time.monotonic(). The C library's name look-up alone may exceed it.
        opened: called with each socket before anything waits on it, so that another thread can shut it down. An OSError
            from it ends the attempt on that address.

    Raises:
        OSError: none of the host's addresses answers, or its certificate is not valid.
    """
    # As bytes: for a str Python would load its IDNA tables.
    places = socket.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM)
    failure: OSError | None = None
    for at, (family, kind, protocol, _, address) in enumerate(places):
        connection: socket.socket | None = None
        try:
            connection = socket.socket(family, kind, protocol)
            opened(connection)
            # Each address has its share of the time: one that never answers leaves the others theirs.
            connection.settimeout(_remaining(deadline) / (len(places) - at))
            connection.connect(address)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is not None:
                secured = tls.wrap_socket(
                    connection, server_hostname=host, do_handshake_on_connect=False
                )
                connection = secured
                opened(connection)
                connection.settimeout(_remaining(deadline))
                secured.do_handshake()
        except OSError as error:
            if connection is not None:
                connection.close()
            if failure is None or _weight(error) >= _weight(failure):
                failure = error
        else:
            return connection
    assert failure is not None  # a look-up that finds no address raises
    raise failure


def _weight(error: OSError) -> int:
    """Which of several addresses' failures is reported: a silent one first, since it will cost time again."""
    if error.errno in _NO_WAY:
        return 0
    return 2 if isinstance(error, TimeoutError) else 1


def _remaining(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def send(connection: socket.socket, data: bytes, deadline: float) -> bool:
    """Sends data; False where the server closed early, in which case its answer may say why."""
    view = memoryview(data)
    while view:
        connection.settimeout(_remaining(deadline))
        try:
            view = view[connection.send(view) :]
        except (BrokenPipeError, ConnectionResetError):
            return False
    return True


class _Incoming:
    """Bytes of an answer that were received and not read yet."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self.data = b""
        self._connection = connection
        self._deadline = deadline
        self._is_silent = True

    def more(self) -> bool:
        """Waits for more bytes; False at the end of the answer, or of what is read of one.

        Raises:
            HungUpError: the connection ended without a byte.
            OSError: the connection broke, or the time is over.
        """
        self._connection.settimeout(_remaining(self._deadline))
        try:
            block = self._connection.recv(16384)
        except ConnectionResetError:
            if not self._is_silent:
                raise
            block = b""
        if self._is_silent and not block:
            raise HungUpError("connection closed without an answer")
        self._is_silent = False
        self.data += block
        return bool(block) and len(self.data) <= _ANSWER_BYTES

    def head(self) -> tuple[int, list[str]]:
        """Status and header lines of the next answer."""
        while b"\r\n\r\n" not in self.data:
            if self.data and not self.data.startswith(b"HTTP/"[: len(self.data)]):
                raise GarbledError(f"it said {self.data[:20]!r}")
            if not self.more():
                if len(self.data) > _ANSWER_BYTES:
                    raise GarbledError("its answer has no end of headers")
                raise OSError("connection closed amidst the answer")
        head, _, self.data = self.data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        found = re.fullmatch(r"HTTP/1\.[01] (\d{3})(?: .*)?", first)
        if found is None:
            raise GarbledError(f"its status line is {first[:60]!r}")
        return int(found[1]), lines


def receive(connection: socket.socket, deadline: float) -> tuple[int, dict[str, str], bytes]:
    """Status, headers (names in lower case) and body of the answer; of a body that is cut off, what was received.

    Raises:
        GarbledError: what was received is not HTTP.
        HungUpError: nothing was received.
        OSError: the connection broke, or the time was over, before the status was received.
    """
    incoming = _Incoming(connection, deadline)
    status, lines = incoming.head()
    while status < 200:  # "100 Continue" and the like
        status, lines = incoming.head()
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    length = headers.get("content-length", "")
    chunked = "chunked" in headers.get("transfer-encoding", "")
    wanted = int(length) if re.fullmatch(r"[0-9]{1,9}", length) else _ANSWER_BYTES
    # The status decides. Of a body that never ends only the text for people is lost.
    with contextlib.suppress(OSError):
        while not (
            incoming.data.endswith(b"0\r\n\r\n") if chunked else len(incoming.data) >= wanted
        ):
            if not incoming.more():
                break
    body = _unchunk(incoming.data) if chunked else incoming.data[:wanted]
    if headers.get("content-encoding") == "gzip":
        with contextlib.suppress(zlib.error):
            body = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(body, _ANSWER_BYTES)
    return status, headers, body


def _unchunk(data: bytes) -> bytes:
    body = b""
    while True:
        size, found, data = data.partition(b"\r\n")
        digits = re.match(rb"[0-9A-Fa-f]{1,8}", size)
        length = int(digits[0], 16) if digits else 0
        if not found or length == 0:
            return body
        body += data[:length]
        data = data[length + 2 :]
