# SPDX-License-Identifier: MIT
"""A PyGObject program that plays the pipeline it is given to its end.

Context: tests; a target, run by the system's Python.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

Gst.init(None)
pipeline = Gst.parse_launch(sys.argv[1])
pipeline.set_state(Gst.State.PLAYING)
kinds = Gst.MessageType.EOS | Gst.MessageType.ERROR
message = pipeline.get_bus().timed_pop_filtered(50 * Gst.SECOND, kinds)
pipeline.set_state(Gst.State.NULL)
sys.exit(0 if message is not None and message.type == Gst.MessageType.EOS else 1)
