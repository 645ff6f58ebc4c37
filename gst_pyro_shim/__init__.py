# SPDX-License-Identifier: MIT
"""A CPU profiler for GStreamer pipelines: which element burns the CPU, in which function, on which thread.

Context: controller and agent. Importing the package, or one of its rooms, imports nothing else of it.
Every room imports: _native, errors, paths, problems, protocol, terminal, unique_path.

The last line of a room's docstring says which other rooms its files import; tests/unit/test_rooms.py checks that.
"""

__version__ = "0.1.0"
