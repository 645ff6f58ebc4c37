# SPDX-License-Identifier: MIT
# What cffi generates has no types; segment/abi.py and native.py give it some.
from typing import Any

lib: Any
ffi: Any
