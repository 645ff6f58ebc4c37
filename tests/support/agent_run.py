# SPDX-License-Identifier: MIT
"""An agent on a thread of the test, with a shim that is made up.

Context: tests.
"""

import contextlib
import os
import threading

from gst_pyro_shim.agent import start
from gst_pyro_shim.agent.hosts import Agents
from gst_pyro_shim.agent.reception import Handover
from gst_pyro_shim.segment.segment import AGENT_RUNNING
from tests.support.fake_shim import label_tag, lib
from tests.support.waiting import wait_for

MS = 1_000_000


def handover(shim):
    mine = {name: text for name, text in os.environ.items() if name.startswith("GST_PYROSCOPE_")}
    return Handover(os.getpid(), -1, shim.fd, 2, "", mine)


@contextlib.contextmanager
def running(shim, home="embedded", merge=None):
    """The agent on a thread; what an embedded one returned is `.status` afterwards."""

    def work():
        if home == "embedded":
            thread.status = start.run(shim.fd)
        else:
            thread.agents.serve(handover(shim))

    thread = threading.Thread(target=work)
    thread.status = None
    thread.agents = Agents(home, merge)
    thread.start()
    try:
        wait_for(lambda: shim.raw.agent_state >= AGENT_RUNNING)
        yield thread
    finally:
        if shim.raw.host_state == lib.GP_HOST_RUNNING:
            shim.stop()
        thread.join(60.0)
        assert not thread.is_alive()


def burn(shim, ms=100, name="x264enc0"):
    slot, label = shim.thread(42, "worker"), shim.element(name)
    shim.account(slot, label, ms * MS)
    for pc in range(ms // 10):
        shim.record(slot, label, [0x1000 + pc, label_tag(label)])


def element_ms(profile):
    out = {}
    for sample in profile.samples:
        name = dict(sample.labels)["element"]
        out[name] = out.get(name, 0) + sample.cpu_ns / MS
    return out
