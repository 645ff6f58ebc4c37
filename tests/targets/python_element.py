# SPDX-License-Identifier: MIT
"""An element written in Python: burns 5 ms of CPU for each buffer.

Context: tests, loaded by GStreamer's Python plugin loader.
"""

import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstBase", "1.0")
from gi.repository import GObject, Gst, GstBase  # noqa: E402

Gst.init(None)


class Burner(GstBase.BaseTransform):
    __gstmetadata__ = ("Burner", "Filter", "Burns CPU", "gst-pyro-shim")
    __gsttemplates__ = (
        Gst.PadTemplate.new(
            "src", Gst.PadDirection.SRC, Gst.PadPresence.ALWAYS, Gst.Caps.new_any()
        ),
        Gst.PadTemplate.new(
            "sink", Gst.PadDirection.SINK, Gst.PadPresence.ALWAYS, Gst.Caps.new_any()
        ),
    )

    def do_transform_ip(self, _buffer):
        start = time.thread_time()
        while time.thread_time() - start < 0.005:
            pass
        return Gst.FlowReturn.OK


GObject.type_register(Burner)
__gstelementfactory__ = ("pyburner", Gst.Rank.NONE, Burner)
