# SPDX-License-Identifier: MIT
"""Stands for a profiled program with its agent: pushes one profile to the controller's collector,
tells what it finds around it, and ends with status 4.

    fake_agent.py [late|refused]     late: a process of its own pushes after this one has ended
                                     refused: two pushes that no server would take come first

Context: tests, as a target of `run`.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request

from gst_pyro_shim.profile import encode
from gst_pyro_shim.schema import PushRequest
from gst_pyro_shim.wire import PUSH_PATH, TOKEN_HEADER
from tests import profiles


def push(coding="identity"):
    request = PushRequest()
    series = request.series.add()
    series.labels.add(name="__name__", value="process_cpu")
    series.samples.add(raw_profile=encode(profiles.demo(pid=os.getpid())))
    asked = urllib.request.Request(
        os.environ["GST_PYROSCOPE_COLLECTOR"] + PUSH_PATH,
        request.SerializeToString(),
        {
            "Content-Type": "application/proto",
            "Content-Encoding": coding,
            TOKEN_HEADER: os.environ["GST_PYROSCOPE_COLLECTOR_TOKEN"],
        },
    )
    urllib.request.urlopen(asked, timeout=60).close()


ours = ("GST", "LD_PRELOAD")
print(json.dumps({name: text for name, text in os.environ.items() if name.startswith(ours)}))
sys.stdout.flush()
for _ in range(2 if "refused" in sys.argv else 0):
    try:
        push("br")
    except urllib.error.HTTPError as refused:
        refused.close()
if "late" not in sys.argv:
    push()
else:
    host = os.getpid()
    if os.fork() == 0:
        while os.getppid() == host:
            time.sleep(0.01)
        push()
        os._exit(0)
sys.exit(4)
