# SPDX-License-Identifier: MIT
"""full_disk.py COMMAND...: runs it in a file system of 64 KiB, mounted over the working directory for it alone.

Ends with 77 where nothing may be mounted.

Context: tests.
"""

import ctypes
import os
import sys
from pathlib import Path

CLONE_NEWNS = 0x20000
MS_REC_PRIVATE = 0x44000

libc = ctypes.CDLL(None, use_errno=True)
folder = Path.cwd()
is_private = libc.unshare(CLONE_NEWNS) == 0 and (
    libc.mount(b"none", b"/", None, MS_REC_PRIVATE, None) == 0
)
if not is_private or libc.mount(b"x", os.fsencode(folder), b"tmpfs", 0, b"size=64k") != 0:
    sys.exit(77)
os.chdir(folder)
os.execvp(sys.argv[1], sys.argv[1:])
