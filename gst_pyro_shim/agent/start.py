# SPDX-License-Identifier: MIT
"""Starts an agent, or reports why there is none.

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
from gst_pyro_shim.agent.openssl_exit import forbid_exit_handler
from gst_pyro_shim.errors import GstPyroError
from gst_pyro_shim.segment.segment import AGENT_DONE, AGENT_REFUSED, Segment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gst_pyro_shim.pprof.merge import Merge
    from gst_pyro_shim.symbols.debuginfod import Debuginfod
    from gst_pyro_shim.symbols.elf_cache import ElfCache

STACK_BYTES: Final = 8 << 20
"""As csrc/shim/threads/own_thread.c. The default is the host's limit (`ulimit -s`), and libdw may need more."""


def run(fd: int) -> int:
    """Runs an embedded agent, on a thread of its host, until the host stops.

    Args:
        fd: of the segment.

    Returns:
        AGENT_DONE, or an exit status. Never 0, by which the caller knows that Python itself failed.
    """
    threading.stack_size(STACK_BYTES)
    log = Log()
    segment: Segment | None = None
    try:
        segment = Segment.from_fd(fd)
        log.segment = segment
        # What imports allocate stays. Searching it for garbage would take a tenth of the start.
        gc.disable()
        try:
            forbid_exit_handler()
            skip_pydantic_plugins()
            from gst_pyro_shim.symbols.debuginfod import debuginfod_of

            servers = debuginfod_of(os.environ, log)
            agent = prepare(segment, Host(segment.pid, "embedded"), os.environ, log, servers)
        finally:
            gc.freeze()
            gc.enable()
        agent.run()
    except Exception as error:  # noqa: BLE001  the host must neither see a traceback nor wait for us
        return refuse(segment, log, error)
    segment.set_agent_state(AGENT_DONE)
    return AGENT_DONE


def refuse(segment: Segment | None, log: Log, error: Exception) -> int:
    """Logs why there is no agent, or none any more, and publishes AGENT_REFUSED.

    Args:
        segment: of the host; None where it could not be mapped.
        log: takes a level and a line.
        error: the reason.

    Returns:
        The exit status of the error.
    """
    if isinstance(error, GstPyroError):
        # Message and hint in one line; the command line prints two.
        log("error", f"{error.message.rstrip('.')}. {error.hint} Not profiling.")
    else:
        log("error", _internal_error(error))
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
    """Reads the settings, and makes the agent of a host.

    Args:
        segment: of the host.
        host: whether it still exists.
        environ: of the host.
        log: takes a level and a line; its level is set.
        servers: fetches debug files; None: nothing is fetched.
        merge: where `run` adds profiles up; None: the agent does not belong to `run`.
        folder: the host's working directory, for a relative name of the file; "": this process's own.
        elf_files: shared with other agents; None: its own.

    Raises:
        ConfigError: the settings are wrong.
    """
    from gst_pyro_shim.push.delivery import Delivery
    from gst_pyro_shim.settings.model import Settings, unknown_variables

    settings = Settings.load(segment.params(), environ)
    log.level = settings.log_level
    # A controller has warned of them already.
    for name in unknown_variables(environ) if merge is None else ():
        log("warning", f"{name} is no setting of gst-pyro-shim; is it misspelt?")
    delivery = Delivery(settings, segment.pid, log, merge, folder)
    shown = " ".join(f"{name}={value}" for name, value in settings.masked().items() if value)
    log("info", f"settings: {shown}")
    log("info", f"agent's home: {host.home}; profiles go to {', '.join(delivery.places)}")
    return Agent(segment, settings, host, delivery, log, servers=servers, elf_files=elf_files)


def skip_pydantic_plugins() -> None:
    """Keeps pydantic from searching for plugins: foreign code in the host, and 14 ms where there are none.

    Pydantic's own switch is an environment variable, and the environment is the host's. Should pydantic rename the
    module that is replaced here, it searches as it does by itself.
    """
    loader = ModuleType("pydantic.plugin._loader")
    loader.__dict__["get_plugins"] = tuple
    sys.modules.setdefault(loader.__name__, loader)


def _internal_error(error: Exception) -> str:
    """An error of our own in one line, with the place at which it was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else "?"
    return f"the agent failed and profiling ends ({type(error).__name__}: {error}; at {place})"
