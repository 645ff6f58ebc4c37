# SPDX-License-Identifier: MIT
"""Names that two ends must agree on: Pyroscope's, and our own between shim, agent and controller.

Context: agent and controller. Imports nothing: the agent's start counts in milliseconds.
"""

from typing import Final

PUSH_PATH: Final = "/push.v1.PusherService/Push"

PROFILE_NAME: Final = "process_cpu"
PYTHON_NAME: Final = "python_cpu"
"""Python's own stacks describe CPU time that the native profile already holds."""
MEMORY_NAME: Final = "memory"

TOKEN_HEADER: Final = "Gst-Pyro-Token"  # noqa: S105  its name, not its value
CONTROLLER_ENV: Final = "GST_PYROSCOPE_CONTROLLER"
"""Where `run` receives segments (agent/reception.py), and the token that admits them; read in handover.c."""
