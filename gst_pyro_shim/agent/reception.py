# SPDX-License-Identifier: MIT
"""The socket at which hosts hand over their segments; starts an agent for each, on a thread of its own.

The other side is csrc/shim/home/handover.c. It connects to a name in the abstract namespace (SOCK_SEQPACKET) and sends
one message. The message's parts end with NUL: a word (see `Handover`), then variables `GST_PYROSCOPE_…=…`. With it come
the descriptors of the segment and, where the sender has one, of its stderr.

Context: controller, and agent in a process of its own. One thread accepts; one thread for each host.
"""

from __future__ import annotations

import array
import contextlib
import errno
import hmac
import os
import secrets
import socket
import struct
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gst_pyro_shim.settings.model import ENV_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable

_MESSAGE_BYTES: Final = 128 * 1024
"""As in csrc/shim/home/handover.c."""
_MAX_FDS: Final = 2
_BACKLOG: Final = 4096
_READ_S: Final = 1.0
_CREDENTIALS: Final = struct.Struct("=iII")
_SO_PEERPIDFD: Final = 77
"""Linux 6.5; socket has no name for it yet."""
_RETRY_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Handover:
    """What a host has handed over. Descriptors are -1 where there is none.

    Attributes:
        pid: of the host, in this pid namespace; 0 where the host is in none of ours.
        pidfd: descriptor of the host.
        memory: descriptor of the segment.
        stderr: descriptor of the host's stderr.
        word: the token that `run` has given it; for an agent's process, the host's working directory.
        environ: the host's variables that begin with GST_PYROSCOPE_.
    """

    pid: int
    pidfd: int
    memory: int
    stderr: int
    word: str
    environ: dict[str, str]

    def close(self) -> None:
        """Closes the descriptors."""
        for descriptor in (self.pidfd, self.memory, self.stderr):
            if descriptor >= 0:
                os.close(descriptor)


class Reception:
    """Listens from construction on, accepts once started.

    Connections before `start` wait in the backlog: `run` forks its target while there are no threads yet.
    """

    def __init__(self, serve: Callable[[Handover], None], name: str = "", word: str = "") -> None:
        """Listens.

        Args:
            serve: runs the agent of one host until it is done; called on a thread of its own. Raises nothing.
            name: to listen at, in the abstract namespace; "": a random one.
            word: token that hosts of any user must send; "": any word of a host of this user is accepted.

        Raises:
            OSError: there is no socket to be had, or the name is taken.
        """
        self._serve = serve
        self._word = word
        self._name = name or f"gst-pyro-{secrets.token_hex(16)}"
        self._changed = threading.Condition()
        self._served: set[int] = set()
        self._is_closed = False
        self._idle_since = time.monotonic()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._socket.bind(f"\0{self._name}")
            self._socket.listen(_BACKLOG)
        except OSError:
            self._socket.close()
            raise
        self._thread = threading.Thread(target=self._accept, name="gst-pyro-accept", daemon=True)

    @property
    def address(self) -> str:
        """Name and word with a blank between, as csrc/shim/home/handover.c reads it."""
        return f"{self._name} {self._word}"

    def start(self) -> None:
        """Accepts from now on.

        Raises:
            RuntimeError: there is no thread to be had.
        """
        self._thread.start()

    def close(self) -> None:
        """Refuses new connections; those made before are still served."""
        # From here on Linux refuses connections; accept() still returns those in the backlog.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)
        if self._thread.ident is not None:
            self._thread.join()
        self._socket.close()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Waits until no host is served any more; False where one still is after `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._served, timeout_s)

    def linger(self, seconds: float) -> None:
        """Waits until no host has been served for `seconds`."""
        with self._changed:
            while self._served or (left := self._idle_since + seconds - time.monotonic()) > 0:
                self._changed.wait(None if self._served else left)

    def _start_agent(self, handover: Handover) -> None:
        """Serves a host on a new thread; closes the handover where there is no thread to be had."""
        thread = threading.Thread(
            target=self._serve_and_close, args=(handover,), name="gst-pyro-agent", daemon=True
        )
        with self._changed:
            self._served.add(handover.memory)
        try:
            thread.start()
        except RuntimeError:  # the shim goes on until its ring is full
            self._close_handover(handover)

    def _serve_and_close(self, handover: Handover) -> None:
        try:
            self._serve(handover)
        finally:
            self._close_handover(handover)

    def _close_handover(self, handover: Handover) -> None:
        with self._changed:
            handover.close()
            self._served.discard(handover.memory)
            self._idle_since = time.monotonic()
            self._changed.notify_all()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError as error:
                if error.errno == errno.EINVAL:  # closed, and the backlog is empty
                    return
                time.sleep(_RETRY_S)  # all descriptors are in use
                continue
            with connection:
                handover = self._receive(connection)
            if handover is not None:
                self._start_agent(handover)

    def _receive(self, connection: socket.socket) -> Handover | None:
        """Reads the message; None where it is no handover, or not from a host that may send one."""
        connection.settimeout(_READ_S)
        fds = array.array("i")
        try:
            text, rights, _, _ = connection.recvmsg(
                _MESSAGE_BYTES, socket.CMSG_SPACE(_MAX_FDS * fds.itemsize), socket.MSG_CMSG_CLOEXEC
            )
            pid, uid, _ = _CREDENTIALS.unpack(
                connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            )
            pidfd = _pidfd(connection, pid)
        except OSError:
            return None
        for level, kind, data in rights:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
        word, *lines = text.decode("utf-8", "surrogateescape").split("\0")
        variables = (line.partition("=") for line in lines if line.startswith(ENV_PREFIX))
        memory, stderr = [*fds, -1, -1][:_MAX_FDS]
        environ = {key: value for key, _, value in variables}
        handover = Handover(pid, pidfd, memory, stderr, word, environ)
        is_allowed = (
            hmac.compare_digest(word.encode("utf-8", "replace"), self._word.encode())
            if self._word
            else uid == os.geteuid()
        )
        if memory < 0 or not is_allowed:
            handover.close()
            return None
        return handover


def _pidfd(connection: socket.socket, pid: int) -> int:
    """Descriptor of the process `pid` at the other end; -1 where there is none to be had."""
    with contextlib.suppress(OSError):
        return connection.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
    with contextlib.suppress(OSError):
        return os.pidfd_open(pid)
    return -1
