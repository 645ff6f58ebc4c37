# SPDX-License-Identifier: MIT
"""The target as a child process: as if the controller were not there.

It keeps the terminal, the process group, the standard streams and the signal mask that it would
have had. The controller takes its signals with sigwaitinfo: what the terminal sends reaches the
target by itself, what somebody sends to the controller alone is passed on, a target that is stopped
by job control stops the controller too, and its end becomes the controller's end.

Context: controller, main thread. Other threads are started after the target: it is forked, and they
must inherit the blocked signals.
"""

from __future__ import annotations

import contextlib
import errno
import os
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
# Python ignores these from its start on, so whether the caller did cannot be known. Mostly it did not.
_RESET: Final = (signal.SIGPIPE, signal.SIGXFSZ)
_WITNESS_WAIT_S: Final = 0.05
_START_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class End:
    """How the target ended.

    Attributes:
        status: as waitpid gives it.
    """

    status: int

    @property
    def exit_code(self) -> int:
        """The shell's convention: 128 + n for a signal."""
        if os.WIFSIGNALED(self.status):
            return 128 + os.WTERMSIG(self.status)
        return os.WEXITSTATUS(self.status)

    @property
    def text(self) -> str:
        """For people."""
        if os.WIFSIGNALED(self.status):
            return f"was killed by {_name(os.WTERMSIG(self.status))}"
        return f"ended with status {os.WEXITSTATUS(self.status)}"

    def repeat(self) -> int:
        """Ends this process by the signal that ended the target; returns the status to exit with.

        A caller that looks at the wait status (a shell that stops its loop at SIGINT) sees no
        difference.
        """
        if os.WIFSIGNALED(self.status):
            _die_by(os.WTERMSIG(self.status))
        return self.exit_code


def _name(number: int) -> str:
    """Python names no real-time signals but the first and the last."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _die_by(number: int) -> None:
    """Returns only where the signal cannot kill."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):  # SIGKILL has no other disposition
        signal.signal(number, signal.SIG_DFL)
    # Without glibc's own, 32 and 33, which Python warns of.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number} & signal.valid_signals())
    os.kill(os.getpid(), number)


class Target:
    """One child process; a context manager that holds this process's signals."""

    def __init__(self) -> None:
        """Blocks the signals that are passed on; `start` comes next."""
        self.pid = 0
        self._end: End | None = None
        self._old_mask = signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED)
        # Inherited as ignored it would reap the target behind our back.
        self._old_child = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._witness = _Witness()
        self._group_hit: tuple[int, float] = (0, 0.0)

    def __enter__(self) -> Self:
        """Nothing to do."""
        return self

    def __exit__(self, *_: object) -> None:
        """Forgets signals that came too late, and takes the following as before."""
        self._witness.stop()
        while signal.sigtimedwait(_WAITED, 0) is not None:
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, self._old_mask)

    def start(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        """Starts it.

        Raises:
            CommandNotFoundError: no such program.
            CommandNotRunnableError: there is one, but it cannot be executed.
        """
        read_end, write_end = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self._become(command, environ, write_end)
        os.close(write_end)
        with os.fdopen(read_end, "rb") as pipe:
            # Ctrl-Z may stop the child before its exec: then this process has to stop too.
            while not select.select([pipe], [], [], _START_POLL_S)[0]:
                self._end = self._end or self._reap()
            number = pipe.read()  # closed without a word by a successful exec
        if number:
            if self._end is None:
                os.waitpid(self.pid, 0)
            _raise_not_started(command[0], int(number))
        self._witness.start()

    def _become(self, command: Sequence[str], environ: Mapping[str, str], pipe: int) -> NoReturn:
        """In the child: undoes what this process and Python changed of the signals, and execs.

        Not posix_spawn: glibc's leaves its internal signals 32 and 33 ignored in the program.
        """
        try:
            signal.signal(signal.SIGCHLD, self._old_child)
            for number in _RESET:
                signal.signal(number, signal.SIG_DFL)
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                # Else one that comes between here and the exec would only raise a flag of Python's.
                signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, self._old_mask)
            os.execvpe(command[0], list(command), dict(environ))  # noqa: S606 (a shell would be in the way)
        except OSError as error:
            os.write(pipe, str(error.errno).encode())
        finally:
            os._exit(127)

    def wait(self) -> End:
        """Waits for its end, passing signals on meanwhile."""
        while True:
            end = self._end or self._reap()
            if end is not None:
                return end
            info = signal.sigwaitinfo(_WAITED)
            number = signal.Signals(info.si_signo)
            if number in _PASSED_ON and not self._has_it_already(number, info.si_code):
                self._send(number)

    def _has_it_already(self, number: signal.Signals, code: int) -> bool:
        """Whether a signal went to our whole process group."""
        if number in _JOB_STOPS or number == signal.SIGCONT:
            return code > 0  # from the terminal; from a process: does no harm twice
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(self.pid) != os.getpgrp():
                return False
        # Asked for the terminal's signals too: they end the witness, and it must be replaced.
        if self._witness.was_hit(number) or code > 0:
            self._group_hit = (number, time.monotonic() + 2 * _WITNESS_WAIT_S)
            return True
        # `timeout` signals us and then the group: the second of the two finds a new witness alive.
        known, until = self._group_hit
        return known == number and time.monotonic() < until

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
            # Not for SIGSTOP: who sends that to the target alone continues it alone.
            if os.WSTOPSIG(status) in _JOB_STOPS:
                os.kill(os.getpid(), signal.SIGSTOP)
                self._send(signal.SIGCONT)


class _Witness:
    """A process that does nothing in our process group, to tell signals to the group from others.

    `timeout -s INT 5 python -m gst_pyro_shim run …` and a shell's `kill %1` signal the group: the
    target has the signal already, and gst-launch takes a second SIGINT for impatience. A signal to
    the group ends the witness as well; one to the controller alone does not. Nothing in the
    signal's own information tells the two apart.
    """

    def __init__(self) -> None:
        self._pid = 0
        self._pipe = -1

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
                # Stopped before its exec it would hold this process in vfork().
                setsigmask=_JOB_STOPS,
                setsigdef=_PASSED_ON,
            )
        except OSError:
            os.close(self._pipe)
            self._pipe = -1
        else:
            # Else at Ctrl-\ its core may take the place of the target's.
            with contextlib.suppress(OSError):
                resource.prlimit(self._pid, resource.RLIMIT_CORE, (0, 0))
        finally:
            os.close(read_end)

    def was_hit(self, number: signal.Signals) -> bool:
        """Whether `number` ends it within a moment; whatever ended it, it is replaced."""
        deadline = time.monotonic() + _WITNESS_WAIT_S
        while self._pid and time.monotonic() < deadline:
            ended, status = os.waitpid(self._pid, os.WNOHANG)
            if ended:
                self._close()
                self.start()
                return os.WIFSIGNALED(status) and os.WTERMSIG(status) == number
            time.sleep(0.002)
        return False

    def stop(self) -> None:
        """Ends it."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._close()

    def _close(self) -> None:
        os.close(self._pipe)
        self._pid, self._pipe = 0, -1


def _raise_not_started(program: str, number: int) -> NoReturn:
    if number in {errno.ENOENT, errno.ENOTDIR} and shutil.which(program) is None:
        raise CommandNotFoundError(
            f"Command not found: {program}",
            "Check its name and PATH; options of `run` itself stand before the `--`.",
        )
    reason = os.strerror(number)
    if "/" in program and Path(program).is_dir():
        reason = "it is a directory"
    elif number == errno.ENOENT:
        reason = "the interpreter or loader that it names does not exist"
    elif number == errno.ENOEXEC:
        reason = "it is neither a binary of this machine nor a script that begins with #!"
    raise CommandNotRunnableError(f"Cannot run {program}: {reason}.")
