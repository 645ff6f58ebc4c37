# SPDX-License-Identifier: MIT
# What cffi generates has no types; native.py gives it some.
from typing import Any

lib: Any
ffi: Any
