# SPDX-License-Identifier: MIT
"""Keeps OpenSSL whole while a host exits.

The first use of OpenSSL in a process registers an exit handler that takes it down. A host whose patience with a last
push over https is over runs into that handler while our thread is still inside: SIGSEGV, seen in 1 of 500 exits on a
busy machine. Who comes first may say that there shall be no handler; what it would have freed goes with the process.
That holds for the whole host, where it uses the same OpenSSL and has not initialized it before: README says so.

Context: agent (embedded), before anything else is imported that brings OpenSSL in (hashlib does).
"""

from __future__ import annotations

import ctypes
import importlib.util
from typing import Final

_INIT_NO_ATEXIT: Final = 0x00080000
"""OPENSSL_INIT_NO_ATEXIT of <openssl/crypto.h>, since 1.1.1b."""


def keep_at_exit() -> bool:
    """Forbids the exit handler.

    Returns:
        False where this Python's OpenSSL cannot be called: linked into it statically, or missing.
    """
    found = importlib.util.find_spec("_hashlib")
    if found is None:
        return False
    try:
        # Through the module's own file, so that it is the library that Python itself will use.
        library = ctypes.CDLL(found.origin) if found.has_location else ctypes.pythonapi
        initialize = library.OPENSSL_init_crypto
    except (OSError, AttributeError):
        return False
    initialize.argtypes = (ctypes.c_uint64, ctypes.c_void_p)
    initialize.restype = ctypes.c_int
    return bool(initialize(_INIT_NO_ATEXIT, None))
