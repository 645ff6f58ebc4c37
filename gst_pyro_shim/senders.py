# SPDX-License-Identifier: MIT
"""Who may still push to the collector: the processes that were given its token.

The target's end is not the end: an agent in a process of its own outlives its host by up to a
second, and a shell's last word says nothing of the pipelines that it started.

Context: controller, after the target's end.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gst_pyro_shim.collector import Collector

# As csrc/spawn.c starts it.
_AGENT: Final = b"from gst_pyro_shim import agent"
_POLL_S: Final = 0.02
_AGENTS_S: Final = 5.0
"""For agents whose hosts have ended: each ends within a second of its start, which takes long on a busy machine."""


def wait(collector: Collector, timeout_s: float) -> bool:
    """Waits until nothing more will come, or nothing that can be waited for.

    Args:
        collector: still answering.
        timeout_s: at most, where a program lives on.

    Returns:
        Whether everything came.
    """
    token = collector.token.encode()
    started = time.monotonic()
    while True:
        # In this order: who is gone has been answered, and is merged unless the collector is busy.
        is_agent = _alive(token)
        stats = collector.merge.stats()
        if not collector.is_busy:
            if not is_agent:
                return True
            # A program that lives on keeps its agent; only what is about to end is waited for.
            if stats and all(one.final for one in stats) and not any(is_agent):
                return True
        patience_s = max(timeout_s, _AGENTS_S) if is_agent and all(is_agent) else timeout_s
        if time.monotonic() - started >= patience_s:
            return False
        time.sleep(_POLL_S)


def _alive(token: bytes) -> list[bool]:
    """For each process with `token` in its environment: whether it is an agent."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if token in (folder / "environ").read_bytes():
                found.append(_AGENT in (folder / "cmdline").read_bytes())
        except OSError:  # it has ended, or it is another user's and so none of ours
            continue
    return found
