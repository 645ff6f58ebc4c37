# SPDX-License-Identifier: MIT
"""Waits for programs that the target started a moment ago and that may still hand in a segment.

A target may end before them: `sh -c 'gst-launch-1.0 … &'`.

Context: controller, after the target's end.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

YOUNG_S: Final = 1.5
"""Age by which a program has initialized GStreamer, if it ever does."""
_POLL_S: Final = 0.02
_START: Final = 19
"""Index of the start time among those fields of /proc/PID/stat that follow the program's name."""


def wait(address: str) -> None:
    """Returns when each of these programs is older than YOUNG_S, or has ended.

    Args:
        address: address of the reception. The target's programs have it in their environment.
    """
    while _is_one_young(address.encode()):
        time.sleep(_POLL_S)


def _is_one_young(address: bytes) -> bool:
    born_since = time.clock_gettime(time.CLOCK_BOOTTIME) - YOUNG_S
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            status = (folder / "stat").read_bytes().rpartition(b")")[2].split()
            started = int(status[_START]) / os.sysconf("SC_CLK_TCK")
            is_young = started >= born_since and status[0] not in (b"Z", b"X")
            if is_young and address in (folder / "environ").read_bytes():
                return True
        except OSError:  # it has ended, or belongs to another user and so not to the target
            continue
    return False
