# SPDX-License-Identifier: MIT
"""How the native parts are built: what that needs of the system, and the compiler.

Context: build.
"""
