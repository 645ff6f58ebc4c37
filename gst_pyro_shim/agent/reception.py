# SPDX-License-Identifier: MIT
"""Where GStreamer processes hand in their segments; an agent for each, on a thread of this process.

handover.c is the other side: one message on a SOCK_SEQPACKET connection to a name in the abstract namespace. Its
parts end with NUL: a word that lets the sender in, then variables `GST_PYROSCOPE_…=…`. With it come the descriptors of
the segment and, where the sender has one, of its stderr.

Context: controller, and agent in a process of its own. One thread accepts, one thread a process that is profiled.
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
class Guest:
    """A process that has handed its segment in.

    Attributes:
        pid: as it is called here; 0 where it cannot be seen from here.
        pidfd: of it, to be closed by who takes the guest; -1 where there is none.
        memory: descriptor of the segment, likewise.
        stderr: likewise.
        word: what it was let in by.
        environ: its variables that begin with GST_PYROSCOPE_.
    """

    pid: int
    pidfd: int
    memory: int
    stderr: int
    word: str
    environ: dict[str, str]

    def close(self) -> None:
        """Gives the descriptors back."""
        for descriptor in (self.pidfd, self.memory, self.stderr):
            if descriptor >= 0:
                os.close(descriptor)


class Reception:
    """Listens from construction on, takes guests in once started.

    What comes before `start` waits: the target is forked while there are no threads yet.
    """

    def __init__(self, serve: Callable[[Guest], None], name: str = "", word: str = "") -> None:
        """Listens.

        Args:
            serve: the agent of one guest, until that is done; called on a thread of its own. Raises nothing.
            name: to listen at; one that nobody can have unless given.
            word: that lets guests of any user in; without it they must be this user's.

        Raises:
            OSError: no socket could be had, or the name is taken.
        """
        self._serve = serve
        self._word = word
        self._name = name or f"gst-pyro-{secrets.token_hex(16)}"
        self._changed = threading.Condition()
        self._guests: set[int] = set()
        self._is_closed = False
        self._idle_since = time.monotonic()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._socket.bind(f"\0{self._name}")
            self._socket.listen(_BACKLOG)
        except OSError:
            self._socket.close()
            raise
        self._thread = threading.Thread(target=self._accept, name="gst-pyro-door", daemon=True)

    @property
    def address(self) -> str:
        """What csrc/shim/home/handover.c reads: name and word."""
        return f"{self._name} {self._word}"

    def start(self) -> None:
        """Takes guests in from now on.

        Raises:
            RuntimeError: no thread could be had.
        """
        self._thread.start()

    def close(self) -> None:
        """Takes nobody in any more; who came before this is served."""
        # Linux refuses connections from here on, and gives those that stand already to accept().
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)
        if self._thread.ident is not None:
            self._thread.join()
        self._socket.close()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Waits until nobody is being served; False where somebody still is at the end of the time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._guests, timeout_s)

    def linger(self, seconds: float) -> None:
        """Waits until nobody has been served for so long."""
        with self._changed:
            while self._guests or (left := self._idle_since + seconds - time.monotonic()) > 0:
                self._changed.wait(None if self._guests else left)

    def _admit(self, guest: Guest) -> None:
        """Starts the agent of a guest; one that cannot be started is closed."""
        thread = threading.Thread(
            target=self._look_after, args=(guest,), name="gst-pyro-agent", daemon=True
        )
        with self._changed:
            self._guests.add(guest.memory)
        try:
            thread.start()
        except RuntimeError:  # no more threads; the shim goes on until its ring is full
            self._farewell(guest)

    def _look_after(self, guest: Guest) -> None:
        try:
            self._serve(guest)
        finally:
            self._farewell(guest)

    def _farewell(self, guest: Guest) -> None:
        with self._changed:
            guest.close()
            self._guests.discard(guest.memory)
            self._idle_since = time.monotonic()
            self._changed.notify_all()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError as error:
                if error.errno == errno.EINVAL:  # nobody is waiting there, and nobody can come
                    return
                time.sleep(_RETRY_S)  # no descriptor is free
                continue
            with connection:
                guest = self._receive(connection)
            if guest is not None:
                self._admit(guest)

    def _receive(self, connection: socket.socket) -> Guest | None:
        """Reads the message; None where it is none of ours."""
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
        guest = Guest(pid, pidfd, memory, stderr, word, environ)
        is_known = (
            hmac.compare_digest(word.encode("utf-8", "replace"), self._word.encode())
            if self._word
            else uid == os.geteuid()
        )
        if memory < 0 or not is_known:
            guest.close()
            return None
        return guest


def _pidfd(connection: socket.socket, pid: int) -> int:
    """Of the process that sent it; -1 where it cannot be had."""
    with contextlib.suppress(OSError):
        return connection.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
    with contextlib.suppress(OSError):
        return os.pidfd_open(pid)
    return -1
