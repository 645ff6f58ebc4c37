# SPDX-License-Identifier: MIT
"""Keeps OpenSSL from cleaning up while a host exits.

The first use of OpenSSL in a process registers an exit handler that frees its state. A host that no longer waits for a
last push over https runs this handler while our thread is still inside OpenSSL: SIGSEGV, in 1 of 500 exits on a busy
machine. The caller that initializes OpenSSL first can forbid the handler; the kernel frees the memory with the process.
The whole host then has no such handler, where it uses the same OpenSSL and has not initialized it before. README says
so.

Context: agent (embedded), before anything else is imported that brings OpenSSL in (hashlib does).
"""

from __future__ import annotations

import ctypes
import importlib.util
from typing import Final

_INIT_NO_ATEXIT: Final = 0x00080000
"""OPENSSL_INIT_NO_ATEXIT of <openssl/crypto.h>, since 1.1.1b."""


def forbid_exit_handler() -> bool:
    """Initializes OpenSSL without its exit handler.

    Returns:
        False where this Python's OpenSSL cannot be called: it is linked statically, or missing.
    """
    found = importlib.util.find_spec("_hashlib")
    if found is None:
        return False
    try:
        # Looked up in the module's own file: that is the library that Python itself will use.
        library = ctypes.CDLL(found.origin) if found.has_location else ctypes.pythonapi
        initialize = library.OPENSSL_init_crypto
    except (OSError, AttributeError):
        return False
    initialize.argtypes = (ctypes.c_uint64, ctypes.c_void_p)
    initialize.restype = ctypes.c_int
    return bool(initialize(_INIT_NO_ATEXIT, None))
