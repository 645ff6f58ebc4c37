# SPDX-License-Identifier: MIT
"""The agents of several hosts in one process: the controller, or an agent's process.

A host that finds no agent's process starts one (csrc/shim/home). Later hosts of the same user in the same place hand
their segments over to it. It waits LINGER_S for another host after the last one: short programs that run one after the
other share one start of Python. What states an agent passes through: agent.py.

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
from gst_pyro_shim.agent.reception import Handover, Reception
from gst_pyro_shim.agent.start import STACK_BYTES, prepare, refuse, skip_pydantic_plugins
from gst_pyro_shim.problems import Problems
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
"""How long an agent's process waits for another host."""
_STDERR: Final = 2


class Agents:
    """Runs an agent for each host, each on a thread of its own. MT-safe."""

    def __init__(self, home: Home, merge: Merge | None = None) -> None:
        """Runs none yet.

        Args:
            home: "process" or "controller": which of them this process is.
            merge: where `run` adds profiles up; None outside `run`.
        """
        self._home: Home = home
        self._merge = merge
        self._lock = threading.Lock()
        self._running: list[Agent] = []
        self._elf_files = ElfCache()
        self._servers: Debuginfod | None = None
        self._has_looked_for_servers = False
        self._problems = Problems()
        self._counts_start = home == "process"
        threading.stack_size(STACK_BYTES)
        # Our variables come from each host. All others are assumed to be the same in all of them.
        self._environ = {
            name: text for name, text in os.environ.items() if not name.startswith(ENV_PREFIX)
        }

    def serve(self, handover: Handover) -> None:
        """Runs the agent of a host until it is done; then unmaps the segment. Raises nothing.

        Args:
            handover: what the host has handed over; the caller closes it.
        """
        log = Log(stderr=handover.stderr)
        segment: Segment | None = None
        host: Host | None = None
        try:
            segment = Segment.from_fd(handover.memory)
            log.segment = segment
            host = Host(handover.pid, self._home, handover.pidfd)
            agent = prepare(
                segment,
                host,
                self._environ | handover.environ,
                log,
                self._debuginfod(log),
                merge=self._merge,
                folder=handover.word if self._merge is None else "",
                elf_files=self._elf_files,
            )
            with self._lock:
                self._running.append(agent)
                if self._counts_start:
                    agent.cpu_before_s, self._counts_start = time.process_time(), False
            try:
                agent.run()
            finally:
                with self._lock:
                    self._running.remove(agent)
            segment.set_agent_state(AGENT_DONE)
        except Exception as error:  # noqa: BLE001  the other hosts' agents go on
            refuse(segment, log, error)
            self._problems.add("failed_programs", f"A program was not profiled: {error}")
        log.close()
        if host is not None:
            host.close()
        if segment is not None:
            segment.close()

    def _debuginfod(self, log: Log) -> Debuginfod | None:
        """One client for all hosts; its log lines go to the first host."""
        with self._lock:
            if not self._has_looked_for_servers:
                self._has_looked_for_servers = True
                self._servers = debuginfod_of(self._environ, log)
            return self._servers

    @property
    def problems(self) -> list[str]:
        """Sentences: why hosts were not profiled, or not to their end; each once."""
        return self._problems.texts

    @property
    def counters(self) -> dict[str, int]:
        """Number of such hosts as `failed_programs`; empty without any."""
        return self._problems.counters

    def dismiss(self) -> None:
        """Ends all agents although their hosts live on; profiles hold what the hosts have done so far."""
        with self._lock:
            for agent in self._running:
                agent.is_dismissed = True
                agent.wake()

    def wake(self) -> None:
        """Has all agents look at once whether their hosts still live."""
        with self._lock:
            for agent in self._running:
                agent.wake()


def run(memory: int, pid: int, name: str) -> int:
    """The main function of an agent's process: profiles the host that started it, then others until none comes.

    Args:
        memory: descriptor of the first host's segment.
        pid: of the first host.
        name: of the socket where others hand over theirs.

    Returns:
        0.
    """
    # What imports allocate stays: it need not be searched for garbage.
    gc.freeze()
    skip_pydantic_plugins()
    agents = Agents("process")
    reception: Reception | None = None
    # An OSError where two hosts started at once: the name is taken, and the other's agent serves the next hosts.
    with contextlib.suppress(OSError, RuntimeError):
        reception = Reception(agents.serve, name)
        reception.start()
    environ = {key: text for key, text in os.environ.items() if key.startswith(ENV_PREFIX)}
    first = Handover(pid, -1, memory, _STDERR, "", environ)
    # On a thread: this stack is as large as the host's limit allows, which may be too small.
    thread = threading.Thread(target=agents.serve, args=(first,), name="gst-pyro-agent")
    try:
        thread.start()
    except RuntimeError:  # no thread: should this stack overflow, the process ends with a message
        agents.serve(first)
    else:
        thread.join()
    if reception is not None:
        _detach_from_first_host()
        reception.linger(LINGER_S)
        reception.close()
        reception.wait()
    return 0


def _detach_from_first_host() -> None:
    """Closes its stderr, whose reader would wait for its end, and leaves its folder, which could not be unmounted."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, _STDERR)
    os.close(null)
    os.chdir("/")
