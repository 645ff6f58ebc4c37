# SPDX-License-Identifier: MIT
"""Python's own samples: what runs in the host's interpreter, and what becomes of its profiles.

Context: agent; host_python.py in the host's interpreter.
Imports: pprof, push, segment, settings.
"""
