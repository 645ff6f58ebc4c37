# SPDX-License-Identifier: MIT
"""Runs in the host's interpreter: starts pyroscope-io, and stops it within a second.

pyroscope_io.c executes this file in a namespace of its own. It imports nothing but the standard library, leaves
sys.path as it is, and changes nothing that a host could notice, beyond pyroscope-io itself.

Context: the host's interpreter, on a thread of ours; `_at_exit` on the host's main thread.
"""

from __future__ import annotations

import _thread
import atexit
import importlib.machinery
import importlib.util
import os
import sys

TYPE_CHECKING = False  # typing is not imported for it
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

_EXIT_S = 0.5
_PACKAGE = "pyroscope"

_pid = os.getpid()
_stop_fd = -1
_done = _thread.allocate_lock()
_shutdown: Callable[[], object] | None = None


def start(  # noqa: PLR0917  called from C
    obstacle: str,
    url: str,
    token: str,
    package: str,
    interval: str,
    memory: str,
    rate: int,
    stop_fd: int,
) -> tuple[Any, Any, bool] | str:
    """Starts pyroscope-io; if the host uses it already, only looks up its functions for tags.

    Args:
        obstacle: why pyroscope-io must not be started, as a sentence; "" where it may be.
        url: of the agent's collector, on this machine.
        token: for the collector.
        package: folder of the agent's own pyroscope-io; "" where it has none.
        interval: seconds between two pushes.
        memory: "" for CPU alone; else allocations too.
        rate: Hz.
        stop_fd: eventfd to write to when pyroscope-io is to be stopped.

    Returns:
        Two functions (key, value), which set and remove a tag of the calling thread, and whether pyroscope-io was
        started here. Where none of that is possible: why, as a sentence.
    """
    global _stop_fd
    _stop_fd = stop_fd
    # Before anything else: a program that ends now has to wait until pyroscope-io has started and stopped again. Else
    # its threads would run while the interpreter is taken down.
    _done.acquire()
    atexit.register(_at_exit)
    try:
        # The shim sees this thread start, and then knows by its start routine the threads that Python itself makes.
        _thread.start_new_thread(_thread.get_ident, ())
        settings = {
            "server_address": url,
            "http_headers": {"Gst-Pyro-Token": token},
            "upload_interval": max(1, int(float(interval))),
            "mem_enabled": bool(memory),
            "sample_rate": rate,
        }
        found = _take(obstacle, package, settings)
    except Exception as error:  # noqa: BLE001  the host goes on
        found = f"pyroscope-io could not be started ({type(error).__name__}: {error})."
    if isinstance(found, str):
        atexit.unregister(_at_exit)
        _done.release()
    return found


def _take(obstacle: str, package: str, settings: dict[str, Any]) -> tuple[Any, Any, bool] | str:
    """As `start`."""
    if "t" in sys.abiflags:
        return "pyroscope-io does not know free-threaded Python. The rest of the profile goes on."
    module = sys.modules.get(_PACKAGE)
    ours = module is None
    if module is None:
        if obstacle:
            return obstacle
        module = _import(package)
        if module is None:
            python = sys.executable or "python3"
            return (
                f"{python} finds no pyroscope-io for Python {sys.version_info[0]}.{sys.version_info[1]}:"
                f" `{python} -m pip install pyroscope-io` adds it. The rest of the profile goes on."
            )
        _configure(module, settings)
    # Builtins: a Python function that C calls would run the host's signal handlers.
    return module.lib.add_thread_tag, module.lib.remove_thread_tag, ours


def finish() -> None:
    """Has pyroscope-io push what is left. The collector answers at once."""
    try:
        if _shutdown is not None:
            _shutdown()
    finally:
        _done.release()


def _at_exit() -> None:
    """Has pyroscope-io stopped before the interpreter is taken down; waits for half a second at most."""
    if os.getpid() != _pid:
        return
    os.write(_stop_fd, (1).to_bytes(8, sys.byteorder))
    _done.acquire(timeout=_EXIT_S)


def _import(package: str) -> Any:
    """The host's pyroscope-io; else the agent's, if it is for this interpreter; else None."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is not None and _holds_native(spec.submodule_search_locations):
        return importlib.import_module(_PACKAGE)
    if not package or not _holds_native([package]):
        return None
    file = os.path.join(package, "__init__.py")
    spec = importlib.util.spec_from_file_location(
        _PACKAGE, file, submodule_search_locations=[package]
    )
    # _load holds the lock for which an import by the host would wait. sys.path stays as it is.
    return importlib._bootstrap._load(spec)  # type: ignore[attr-defined]  # noqa: SLF001


def _holds_native(folders: Sequence[str] | None) -> bool:
    suffixes = importlib.machinery.EXTENSION_SUFFIXES
    return any(
        os.path.exists(os.path.join(folder, "_native" + end))  # noqa: PTH110
        for folder in folders or ()
        for end in suffixes
    )


def _configure(pyroscope: Any, settings: dict[str, Any]) -> None:
    global _shutdown
    # gil_only=False samples threads without the GIL as well: numpy releases it while it computes.
    pyroscope.configure(application_name="python", oncpu=True, gil_only=False, **settings)
    native = pyroscope.lib
    real = native.initialize_agent
    _shutdown = native.drop_agent

    def make_way(*args: Any, **kwargs: Any) -> Any:
        """The host configures pyroscope-io itself after all: ends ours first."""
        global _shutdown
        native.initialize_agent = real
        _shutdown = None
        native.drop_agent()
        return real(*args, **kwargs)

    native.initialize_agent = make_way
