# SPDX-License-Identifier: MIT
"""An element written in Python: burns 5 ms of CPU for each buffer.

Where GP_TEST_SAMPLED is set, it ends the stream once it has burnt that many seconds while pyroscope-io was up, and
prints how many in all.

Context: tests, loaded by GStreamer's Python plugin loader.
"""

import os
import sys
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstBase", "1.0")
from gi.repository import GObject, Gst, GstBase  # noqa: E402

Gst.init(None)
WANTED_S = float(os.environ.get("GP_TEST_SAMPLED", "inf"))


def is_sampled():
    module = sys.modules.get("pyroscope")
    return hasattr(module, "lib") and module.lib.initialize_agent.__name__ == "make_way"


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

    all_s = sampled_s = 0.0

    def do_transform_ip(self, _buffer):
        if self.sampled_s >= WANTED_S:
            print(self.all_s, flush=True)
            return Gst.FlowReturn.EOS
        start = time.thread_time()
        while time.thread_time() - start < 0.005:
            pass
        used_s = time.thread_time() - start
        self.all_s += used_s
        self.sampled_s += used_s if is_sampled() else 0.0
        return Gst.FlowReturn.OK


GObject.type_register(Burner)
__gstelementfactory__ = ("pyburner", Gst.Rank.NONE, Burner)
