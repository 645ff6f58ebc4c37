# SPDX-License-Identifier: MIT
"""An RTSP server on the loopback: a test picture of argv[1] frames at /test. Prints its port; ends with its input.

Context: tests (the distribution's python3).
"""

import sys
import threading

import gi

gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service("0")
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(
    f"( videotestsrc is-live=true num-buffers={sys.argv[1]}"
    " ! video/x-raw,width=320,height=240,framerate=60/1,format=UYVY ! rtpvrawpay name=pay0 )"
)
server.get_mount_points().add_factory("/test", factory)
server.attach(None)
loop = GLib.MainLoop()
threading.Thread(target=lambda: (sys.stdin.read(), loop.quit()), daemon=True).start()
print(server.get_bound_port(), flush=True)
loop.run()
