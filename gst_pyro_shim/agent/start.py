# SPDX-License-Identifier: MIT
"""Brings an agent up, and says why there is none.

Context: agent.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from types import ModuleType
from typing import TYPE_CHECKING, Final

from gst_pyro_shim.agent.agent import Agent
from gst_pyro_shim.agent.host import Host
from gst_pyro_shim.agent.log import Log
from gst_pyro_shim.agent.openssl_exit import keep_at_exit
from gst_pyro_shim.errors import GstPyroError
from gst_pyro_shim.segment.segment import AGENT_DONE, AGENT_REFUSED, Segment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gst_pyro_shim.pprof.merge import Merge
    from gst_pyro_shim.symbols.debuginfod import Debuginfod
    from gst_pyro_shim.symbols.elf_cache import ElfCache

STACK_BYTES: Final = 8 << 20
"""As workers.c gives. By itself a thread takes what the host is limited to (`ulimit -s`), and libdw may need more."""


def run(fd: int) -> int:
    """Runs the agent inside its host until that ends.

    Args:
        fd: of the segment.

    Returns:
        Never 0, which there means that Python itself failed.
    """
    threading.stack_size(STACK_BYTES)
    log = Log()
    segment: Segment | None = None
    try:
        segment = Segment.from_fd(fd)
        log.segment = segment
        # What the imports make is there to stay: to look through it for garbage would be a tenth of the start.
        gc.disable()
        try:
            keep_at_exit()
            without_plugins()
            from gst_pyro_shim.symbols.debuginfod import debuginfod_of

            servers = debuginfod_of(os.environ, log)
            agent = prepare(segment, Host(segment.pid, "embedded"), os.environ, log, servers)
        finally:
            gc.freeze()
            gc.enable()
        agent.run()
    except Exception as error:  # noqa: BLE001  the host must not see a traceback, and must not wait for us
        return refuse(segment, log, error)
    segment.set_agent_state(AGENT_DONE)
    return AGENT_DONE


def refuse(segment: Segment | None, log: Log, error: Exception) -> int:
    """Says why there is no agent, or none any more, and tells the shim; returns an exit status."""
    if isinstance(error, GstPyroError):
        # One line of what the command line says in two.
        log("error", f"{error.message.rstrip('.')}. {error.hint} Not profiling.")
    else:
        log("error", _where(error))
    if segment is not None:
        segment.set_agent_state(AGENT_REFUSED)
    return error.exit_code if isinstance(error, GstPyroError) else 1


def prepare(
    segment: Segment,
    host: Host,
    environ: Mapping[str, str],
    log: Log,
    servers: Debuginfod | None,
    *,
    merge: Merge | None = None,
    folder: str = "",
    elf_files: ElfCache | None = None,
) -> Agent:
    """The agent of a host.

    Args:
        segment: of the host.
        host: whether it is still there.
        environ: of the host.
        log: takes a level and a line.
        servers: who fetches debug files.
        merge: what `run` adds up.
        folder: of the host, to which the file's name is relative; this process's own unless given.
        elf_files: shared with other agents.

    Raises:
        ConfigError: the settings are wrong.
    """
    from gst_pyro_shim.push.delivery import Delivery
    from gst_pyro_shim.settings.model import Settings, unknown_variables

    settings = Settings.load(segment.params(), environ)
    log.level = settings.log_level
    # A controller has said so already.
    for name in unknown_variables(environ) if merge is None else ():
        log("warning", f"{name} is no setting of gst-pyro-shim; is it misspelt?")
    delivery = Delivery(settings, segment.pid, log, merge, folder)
    shown = " ".join(f"{name}={value}" for name, value in settings.masked().items() if value)
    log("info", f"settings: {shown}")
    log("info", f"agent is at home {host.home}, delivers to {', '.join(delivery.places)}")
    return Agent(segment, settings, host, delivery, log, servers=servers, elf_files=elf_files)


def without_plugins() -> None:
    """Keeps pydantic from looking for plugins: other people's code in the host, and 14 ms to find that there is none.

    Its own switch is an environment variable, and the environment is the host's. Should pydantic rename the module, it
    merely looks again.
    """
    loader = ModuleType("pydantic.plugin._loader")
    loader.__dict__["get_plugins"] = tuple
    sys.modules.setdefault(loader.__name__, loader)


def _where(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else "?"
    return f"the agent failed and profiling ends ({type(error).__name__}: {error}; at {place})"
