# SPDX-License-Identifier: MIT
"""run/senders.py: whom the controller waits for behind the target's end.

Context: test, with processes that sleep.
"""

import os
import subprocess
import threading
import time

import pytest

from gst_pyro_shim.run import senders

ADDRESS = f"gst-pyro-test-{os.getpid()} secret"


@pytest.fixture
def sleeper():
    environ = os.environ | {"GST_PYROSCOPE_CONTROLLER": ADDRESS}
    with subprocess.Popen(["sleep", "60"], env=environ) as process:
        yield process
        process.kill()


@pytest.fixture
def waiting():
    return threading.Thread(target=senders.wait, args=(ADDRESS,), daemon=True)


def test_nobody_is_not_waited_for(waiting):
    waiting.start()
    waiting.join(10)
    assert not waiting.is_alive()


def test_a_young_program_is_waited_for_until_it_ends(sleeper, waiting, monkeypatch):
    monkeypatch.setattr(senders, "YOUNG_S", 3600.0)
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    sleeper.kill()
    waiting.join(10)
    assert not waiting.is_alive()


def test_one_that_has_had_its_time_is_not(sleeper, waiting, monkeypatch):
    monkeypatch.setattr(senders, "YOUNG_S", 0.01)
    time.sleep(0.05)
    waiting.start()
    waiting.join(10)
    assert not waiting.is_alive()
    assert sleeper.poll() is None
