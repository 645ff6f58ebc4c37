# SPDX-License-Identifier: MIT
"""A CPU profiler for GStreamer pipelines: which element burns the CPU, in which function, on which thread.

Context: controller and agent. Importing the package imports nothing else of it.
"""

__version__ = "0.1.0"
