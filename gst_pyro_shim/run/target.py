# SPDX-License-Identifier: MIT
"""The target as a child process: as if the controller were not there.

The target keeps the terminal, the process group, the standard streams and the signal mask that it
would have had. The controller receives its own signals by sigwaitinfo:

- A signal to the whole process group (Ctrl-C, `timeout`, `kill %1`) has reached the target already.
- A signal to the controller alone is passed on.
- When job control stops the target, the controller stops too.
- The target's end becomes the controller's end.

Context: controller, main thread. Other threads are started after the target, for two reasons: the
target is forked, and the threads must inherit the blocked signals.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import resource
import select
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, Self

from gst_pyro_shim.errors import CommandNotFoundError, CommandNotRunnableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PASSED_ON: Final = frozenset(
    {
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGTSTP,
        signal.SIGTTIN,
        signal.SIGTTOU,
        signal.SIGCONT,
    }
)
_JOB_STOPS: Final = frozenset({signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})
_WAITED: Final = _PASSED_ON | {signal.SIGCHLD}
# Python ignores these from its start on. Whether the caller ignored them is lost; most callers do not.
_RESET: Final = (signal.SIGPIPE, signal.SIGXFSZ)
_GROUP_WAIT_S: Final = 0.05
"""`timeout` signals its child and then its group: how long after the first signal the second may arrive."""
_START_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class End:
    """How the target ended.

    Attributes:
        status: the wait status, as from waitpid.
    """

    status: int

    @property
    def exit_code(self) -> int:
        """What a shell would report: the exit status, or 128 + n for signal n."""
        if os.WIFSIGNALED(self.status):
            return 128 + os.WTERMSIG(self.status)
        return os.WEXITSTATUS(self.status)

    @property
    def text(self) -> str:
        """The end in words, to follow the program's name."""
        if os.WIFSIGNALED(self.status):
            return f"was killed by {_name(os.WTERMSIG(self.status))}"
        return f"ended with status {os.WEXITSTATUS(self.status)}"

    def repeat(self) -> int:
        """Ends this process by the signal that ended the target; returns the status to exit with.

        Callers that read the wait status, such as a shell that ends its loop at SIGINT, see no difference.
        """
        if os.WIFSIGNALED(self.status):
            _die_by(os.WTERMSIG(self.status))
        return self.exit_code


def _name(number: int) -> str:
    """The name of a signal. Python names only the first and the last of the real-time signals."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _die_by(number: int) -> None:
    """Ends this process by a signal, without a core file. Returns only if the signal cannot kill."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):  # the disposition of SIGKILL cannot be set
        signal.signal(number, signal.SIG_DFL)
    # Without 32 and 33, which are glibc's: Python warns of them.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number} & signal.valid_signals())
    os.kill(os.getpid(), number)


class Target:
    """One child process; a context manager that holds this process's signals."""

    def __init__(self) -> None:
        """Blocks the signals that are passed on; `start` comes next."""
        self.pid = 0
        self._end: End | None = None
        self._old_mask = signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED)
        # A caller may have left SIGCHLD ignored. The kernel would then discard the target's wait status.
        self._old_child = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._witness = _Witness()

    def __enter__(self) -> Self:
        """Nothing to do."""
        return self

    def __exit__(self, *_: object) -> None:
        """Discards signals that are still pending, and restores the signal mask."""
        self._witness.stop()
        while signal.sigtimedwait(_WAITED, 0) is not None:
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, self._old_mask)

    def start(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        """Starts the target.

        Raises:
            CommandNotFoundError: there is no such program.
            CommandNotRunnableError: the program exists but cannot be executed.
        """
        read_end, write_end = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self._become(command, environ, write_end)
        os.close(write_end)
        with os.fdopen(read_end, "rb") as pipe:
            # Ctrl-Z may stop the child before its exec. This process then has to stop too.
            while not select.select([pipe], [], [], _START_POLL_S)[0]:
                self._end = self._end or self._reap()
            number = pipe.read()  # empty after a successful exec, which closes the pipe
        if number:
            if self._end is None:
                os.waitpid(self.pid, 0)
            _raise_not_started(command[0], int(number))
        self._witness.start()

    def _become(self, command: Sequence[str], environ: Mapping[str, str], pipe: int) -> NoReturn:
        """In the child: restores the signals that this process and Python have changed, and execs.

        Not by posix_spawn: glibc's leaves its internal signals 32 and 33 ignored in the program.
        """
        try:
            signal.signal(signal.SIGCHLD, self._old_child)
            for number in _RESET:
                signal.signal(number, signal.SIG_DFL)
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                # With Python's handler a SIGINT between here and the exec would be lost.
                signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, self._old_mask)
            os.execvpe(command[0], list(command), dict(environ))  # noqa: S606 (a shell would be in the way)
        except OSError as error:
            os.write(pipe, str(error.errno).encode())
        finally:
            os._exit(127)

    def wait(self) -> End:
        """Waits for the target's end and passes signals on meanwhile."""
        while True:
            end = self._end or self._reap()
            if end is not None:
                return end
            info = signal.sigwaitinfo(_WAITED)
            number = signal.Signals(info.si_signo)
            if number in _PASSED_ON and not self._has_reached_target(number, info.si_code):
                self._send(number)

    def _has_reached_target(self, number: signal.Signals, code: int) -> bool:
        """Whether a signal went to the whole process group, and the target is in it."""
        is_from_kernel = code > 0  # the terminal's signals
        if number in _JOB_STOPS or number == signal.SIGCONT:
            return is_from_kernel  # a second one from a process does no harm
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(self.pid) != os.getpgrp():
                return False
        # Later than both signals of `timeout`, of which the second is pending by now.
        time.sleep(_GROUP_WAIT_S)
        signal.sigtimedwait({number}, 0)
        return self._witness.was_hit(number) or is_from_kernel

    def _send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(self.pid, number)

    def _reap(self) -> End | None:
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED)
            if pid == 0:
                return None
            if not os.WIFSTOPPED(status):
                return End(status)
            # Not for SIGSTOP: whoever sends it to the target alone continues the target alone.
            if os.WSTOPSIG(status) in _JOB_STOPS:
                os.kill(os.getpid(), signal.SIGSTOP)
                self._send(signal.SIGCONT)


class _Witness:
    """An idle process in our process group, in which a signal to the group stays pending.

    The kernel describes a signal to the group and one to the controller alone by the same siginfo,
    and `timeout`, a script and a shell may send either. Only a second process sees the difference.

    It costs 0.4 ms at the start, 1 ms of CPU and 0.1 MB. Without it the target would get a group's
    signal twice, and the second SIGINT kills gst-launch-1.0 before it has finished its file:
    `timeout -s INT 5 gst-pyro-shim run -- gst-launch-1.0 -e … ! mp4mux ! filesink location=x.mp4`
    would leave an empty one.
    """

    def __init__(self) -> None:
        self._pid = 0
        self._pipe = -1
        self._hits: set[int] = set()

    def start(self) -> None:
        """Starts it, where the system has a `cat`. It ends by itself when this process does."""
        program = shutil.which("cat")
        if program is None:
            return
        read_end, self._pipe = os.pipe()
        try:
            self._pid = os.posix_spawn(
                program,
                ["cat"],
                {},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, read_end, 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                ],
                setsigmask=_PASSED_ON,
            )
        except OSError:
            os.close(self._pipe)
            self._pipe = -1
        finally:
            os.close(read_end)

    def was_hit(self, number: signal.Signals) -> bool:
        """Whether the group got `number` since the last call that asked for it."""
        if pending := self._pending():
            self._hits |= pending
            # What is pending stays so: the next signal needs another process.
            self.stop()
            self.start()
        is_hit = number in self._hits
        self._hits.discard(number)
        return is_hit

    def _pending(self) -> set[int]:
        try:
            status = Path(f"/proc/{self._pid}/status").read_text("utf-8", "replace")
        except OSError:
            return set()
        # A kernel that is not Linux (gVisor) may leave the field out.
        found = re.search(r"^ShdPnd:\s*(\w+)", status, re.MULTILINE)
        mask = int(found[1], 16) if found else 0
        return {number for number in _PASSED_ON if mask & 1 << (number - 1)}

    def stop(self) -> None:
        """Ends it."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            os.close(self._pipe)
            self._pid, self._pipe = 0, -1


def _raise_not_started(program: str, number: int) -> NoReturn:
    if number in {errno.ENOENT, errno.ENOTDIR} and shutil.which(program) is None:
        raise CommandNotFoundError(
            f"Command not found: {program}",
            "Check its name and PATH. Options of `run` itself go before the `--`.",
        )
    reason = os.strerror(number)
    if "/" in program and Path(program).is_dir():
        reason = "it is a directory"
    elif number == errno.ENOENT:
        reason = "its interpreter (the #! line) or loader does not exist"
    elif number == errno.ENOEXEC:
        reason = "it is neither a program for this machine nor a script that begins with #!"
    raise CommandNotRunnableError(f"Cannot run {program}: {reason}.")
