# SPDX-License-Identifier: MIT
"""Programs of the target's that may still hand a segment in: those that were started a moment ago.

A shell's end says nothing of the pipelines that it started: `sh -c 'gst-launch-1.0 … &'`.

Context: controller, after the target's end.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

YOUNG_S: Final = 1.5
"""In which a program has initialized GStreamer, if it ever does."""
_LOOK_S: Final = 0.02
_START: Final = 19
"""Place of the start among the fields of /proc/PID/stat behind the program's name."""


def wait(address: str) -> None:
    """Until each of them is older, or has ended.

    Args:
        address: of the reception; who has it in the environment is one of the target's.
    """
    while _is_there_one(address.encode()):
        time.sleep(_LOOK_S)


def _is_there_one(address: bytes) -> bool:
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
        except OSError:  # it has ended, or it is another user's and so none of ours
            continue
    return False
