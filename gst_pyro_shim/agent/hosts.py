# SPDX-License-Identifier: MIT
"""The agents of several hosts in one process: in the controller, or in a process that serves one host after the other.

Such a process is started by a host that finds none (csrc/shim/home); later hosts of the same user in one place hand
their segments to it. It lingers for a moment behind the last one: programs that live for some milliseconds, one after
the other, share one start of a Python.

Context: controller, and agent in a process of its own.
"""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import time
from typing import TYPE_CHECKING, Final

from gst_pyro_shim.agent.host import Host
from gst_pyro_shim.agent.log import Log
from gst_pyro_shim.agent.reception import Guest, Reception
from gst_pyro_shim.agent.start import STACK_BYTES, prepare, refuse, without_plugins
from gst_pyro_shim.segment.segment import AGENT_DONE, Segment
from gst_pyro_shim.settings.model import ENV_PREFIX
from gst_pyro_shim.symbols.debuginfod import debuginfod_of
from gst_pyro_shim.symbols.elf_cache import ElfCache

if TYPE_CHECKING:
    from gst_pyro_shim.agent.agent import Agent
    from gst_pyro_shim.pprof.merge import Merge
    from gst_pyro_shim.segment.segment import Home
    from gst_pyro_shim.symbols.debuginfod import Debuginfod

LINGER_S: Final = 5.0
"""For the next host."""
_STDERR: Final = 2
_MAX_PROBLEMS: Final = 100


class Agents:
    """Serves guests, each on a thread of its own."""

    def __init__(self, home: Home, merge: Merge | None = None) -> None:
        """Nobody is here yet.

        Args:
            home: what this process is.
            merge: what `run` adds up.
        """
        self._home: Home = home
        self._merge = merge
        self._lock = threading.Lock()
        self._working: list[Agent] = []
        self._elf_files = ElfCache()
        self._servers: Debuginfod | None = None
        self._has_looked_for_servers = False
        self._problems: dict[str, None] = {}
        self._failed = 0
        self._starts_cost = home == "process"
        threading.stack_size(STACK_BYTES)
        # Variables of ours are the guest's; all others are taken to be the same.
        self._environ = {
            name: text for name, text in os.environ.items() if not name.startswith(ENV_PREFIX)
        }

    def serve(self, guest: Guest) -> None:
        """Until the guest has ended, or all are dismissed; then the guest's memory is given back."""
        log = Log(stderr=guest.stderr)
        segment: Segment | None = None
        host: Host | None = None
        try:
            segment = Segment.from_fd(guest.memory)
            log.segment = segment
            host = Host(guest.pid, self._home, guest.pidfd)
            agent = prepare(
                segment,
                host,
                self._environ | guest.environ,
                log,
                self._debuginfod(log),
                merge=self._merge,
                folder=guest.word if self._merge is None else "",
                elf_files=self._elf_files,
            )
            with self._lock:
                self._working.append(agent)
                if self._starts_cost:
                    agent.cpu_before_s, self._starts_cost = time.process_time(), False
            try:
                agent.run()
            finally:
                with self._lock:
                    self._working.remove(agent)
            segment.set_agent_state(AGENT_DONE)
        except Exception as error:  # noqa: BLE001  the others are as good as ever
            refuse(segment, log, error)
            with self._lock:
                self._failed += 1
                if len(self._problems) < _MAX_PROBLEMS:
                    self._problems[f"A program was not profiled: {error}"] = None
        log.close()
        if host is not None:
            host.close()
        if segment is not None:
            segment.close()

    def _debuginfod(self, log: Log) -> Debuginfod | None:
        """One for all; what it has to say goes to the first guest."""
        with self._lock:
            if not self._has_looked_for_servers:
                self._has_looked_for_servers = True
                self._servers = debuginfod_of(self._environ, log)
            return self._servers

    @property
    def problems(self) -> list[str]:
        """Why guests were not served, each once."""
        with self._lock:
            return list(self._problems)

    @property
    def counters(self) -> dict[str, int]:
        """How many guests were not served, or not to their end."""
        with self._lock:
            return {"failed_programs": self._failed} if self._failed else {}

    def dismiss(self) -> None:
        """Ends all, though their hosts live on: what they have done by now is told."""
        with self._lock:
            for agent in self._working:
                agent.is_dismissed = True


def run(memory: int, pid: int, name: str) -> int:
    """The process that a host has started: serves it, and others until none comes any more.

    Args:
        memory: descriptor of the host's segment.
        pid: of the host.
        name: where to take others in.

    Returns:
        0.
    """
    # What the imports made is there to stay.
    gc.freeze()
    without_plugins()
    agents = Agents("process")
    reception: Reception | None = None
    # Taken: two hosts came up at once, and the other's agent takes the next one in.
    with contextlib.suppress(OSError, RuntimeError):
        reception = Reception(agents.serve, name)
        reception.start()
    environ = {key: text for key, text in os.environ.items() if key.startswith(ENV_PREFIX)}
    first = Guest(pid, -1, memory, _STDERR, "", environ)
    # Not on this stack, which is as large as the host's limit allows.
    thread = threading.Thread(target=agents.serve, args=(first,), name="gst-pyro-agent")
    try:
        thread.start()
    except RuntimeError:  # what this stack is too small for ends the process, and is said
        agents.serve(first)
    else:
        thread.join()
    if reception is not None:
        _leave_no_trace()
        reception.linger(LINGER_S)
        reception.close()
        reception.wait()
    return 0


def _leave_no_trace() -> None:
    """Who reads the first host's stderr to its end shall not wait for the others; nor who unmounts its folder."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, _STDERR)
    os.close(null)
    os.chdir("/")
