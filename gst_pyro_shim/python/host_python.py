# SPDX-License-Identifier: MIT
"""What of ours runs in the interpreter of a host: it brings pyroscope-io up, and down again within a second.

Executed by pyroscope_io.c from its file, in a namespace of its own: nothing but the standard library here, and
nothing that a host could notice beyond pyroscope-io itself. sys.path stays as it is.

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
    """Starts pyroscope-io, unless the host has it in use itself: then it is only asked for tags.

    Args:
        obstacle: a sentence, where pyroscope-io must not be started; else "".
        url: of the agent's collector, on this machine.
        token: that the collector wants to see.
        package: folder of the agent's own pyroscope-io, "" where it has none.
        interval: s between two pushes.
        memory: "" for CPU alone; else allocations too.
        rate: Hz.
        stop_fd: eventfd that says when to stop.

    Returns:
        Functions (key, value) that set and take off a tag of the calling thread, and whether it was started here; a
        sentence where that cannot be.
    """
    global _stop_fd
    _stop_fd = stop_fd
    # First of all: a program that ends now waits until pyroscope-io has come up and gone again, or threads would be
    # torn out of it.
    _done.acquire()
    atexit.register(_at_exit)
    try:
        # python.c learns from it which threads run Python.
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
    # Its builtins: a Python function would run the host's signal handlers at any callback.
    return module.lib.add_thread_tag, module.lib.remove_thread_tag, ours


def finish() -> None:
    """Pushes what is left. The collector answers at once."""
    try:
        if _shutdown is not None:
            _shutdown()
    finally:
        _done.release()


def _at_exit() -> None:
    """Before the interpreter goes, with no more than half a second for it."""
    if os.getpid() != _pid:
        return
    os.write(_stop_fd, (1).to_bytes(8, sys.byteorder))
    _done.acquire(timeout=_EXIT_S)


def _import(package: str) -> Any:
    """The host's pyroscope-io, else the agent's where it fits this interpreter, else None."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is not None and _holds_native(spec.submodule_search_locations):
        return importlib.import_module(_PACKAGE)
    if not package or not _holds_native([package]):
        return None
    file = os.path.join(package, "__init__.py")
    spec = importlib.util.spec_from_file_location(
        _PACKAGE, file, submodule_search_locations=[package]
    )
    # Under the lock that a host's own import of it would wait for. sys.path stays as it is.
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
    # Without the lock as well: numpy gives it away.
    pyroscope.configure(application_name="python", oncpu=True, gil_only=False, **settings)
    native = pyroscope.lib
    real = native.initialize_agent
    _shutdown = native.drop_agent

    def make_way(*args: Any, **kwargs: Any) -> Any:
        """The host configures pyroscope-io itself after all: it gets it."""
        global _shutdown
        native.initialize_agent = real
        _shutdown = None
        native.drop_agent()
        return real(*args, **kwargs)

    native.initialize_agent = make_way
