# SPDX-License-Identifier: MIT
"""Names that both ends of a push must agree on: Pyroscope's, and our own between agent and controller.

Context: agent and controller. Imports nothing: the agent's start counts in milliseconds.
"""

from typing import Final

PUSH_PATH: Final = "/push.v1.PusherService/Push"

PROFILE_NAME: Final = "process_cpu"
PYTHON_NAME: Final = "python_cpu"
"""Python's own stacks describe CPU time that the native profile already holds."""
MEMORY_NAME: Final = "memory"

COLLECTOR_ENV: Final = "GST_PYROSCOPE_COLLECTOR"
"""Tells an agent where its controller listens; also read in csrc/lifecycle.c."""
TOKEN_ENV: Final = "GST_PYROSCOPE_COLLECTOR_TOKEN"  # noqa: S105  its name, not its value
TOKEN_HEADER: Final = "Gst-Pyro-Token"  # noqa: S105  likewise
STARTED_PATH: Final = "/started"
"""An agent inside its host says that it is there: should it die with the host, nothing else would."""
