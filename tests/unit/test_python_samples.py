# SPDX-License-Identifier: MIT
"""Python's samples from pyroscope-io to our reports: taken, kept apart, counted under their elements.

Context: test.
"""

import importlib.util
import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from gst_pyro_shim.pprof.decode import decode
from gst_pyro_shim.pprof.encode import encode
from gst_pyro_shim.pprof.merge import Merge
from gst_pyro_shim.pprof.model import PYTHON, Frame, Profile, Sample, element_frame
from gst_pyro_shim.pprof.schema import PushRequest
from gst_pyro_shim.protocol import PUSH_PATH, TOKEN_HEADER
from gst_pyro_shim.python import samples as python_samples
from gst_pyro_shim.python.collector import Collector
from gst_pyro_shim.python.samples import PythonSamples
from gst_pyro_shim.segment.rows import FIXED_NAMES
from gst_pyro_shim.segment.segment import Segment
from gst_pyro_shim.settings.model import Settings
from gst_pyro_shim.views.summary import summarize
from tests.support.fake_shim import FakeShim, ffi, lib

CSRC = Path(__file__).parents[2] / "csrc"
SINK = (("element", "sink"), ("factory", "appsink"), ("pipeline", "p"))
PATH = "/p/sink"
FUNCTION = Frame("work", file="app.py", line=7)
CALLER = Frame("on_sample", file="app.py", line=9)


def native(python_ns, other_ns):
    element = element_frame("sink", "appsink", PATH)
    return [
        Sample((Frame("memcpy"), Frame(PYTHON), element), python_ns, 3, SINK),
        Sample((Frame("memcpy"), element, Frame(PYTHON)), other_ns, 1, SINK),
    ]


def seen(ns, labels=SINK, frames=(FUNCTION, CALLER), ticks=0):
    return Sample(frames, ns, ticks, labels)


def push(url, token, raw, name="process_cpu", coding="identity"):
    request = PushRequest()
    series = request.series.add()
    series.labels.add(name="__name__", value=name)
    series.samples.add(raw_profile=raw)
    headers = {"Content-Type": "application/proto", TOKEN_HEADER: token}
    headers["Content-Encoding"] = coding
    asked = urllib.request.Request(url + PUSH_PATH, request.SerializeToString(), headers)
    urllib.request.urlopen(asked, timeout=60).close()


class FakeDelivery:
    def __init__(self):
        self.memory, self.dropped, self.said = [], {}, {}
        self.deliver_memory = self.memory.append

    def drop(self, reason, text, number=1):
        self.dropped[reason] = number
        self.said[reason] = text


def test_the_host_finds_the_collector_and_its_profiles_are_delivered():
    said = []
    with FakeShim() as shim:
        segment = Segment.from_fd(shim.fd)
        assert not segment.has_entered_python
        shim.raw.python_state = 1
        assert segment.has_entered_python
        delivery = FakeDelivery()
        samples = PythonSamples(segment, Settings(), delivery, lambda *line: said.append(line))
        assert shim.raw.python_offered == 1
        words = bytes(ffi.buffer(shim.raw.python_config)).split(b"\0")
        config = dict(zip(words[::2], words[1::2], strict=False))
        url, token = config[b"url"].decode(), config[b"token"].decode()
        assert url.startswith("http://127.0.0.1:")
        assert Path(config[b"script"].decode()).name == "host_python.py"
        assert (config[b"interval"], config[b"memory"]) == (b"10", b"")
        push(url, token, encode(Profile(1, 2, 10, [seen(50), seen(5, frames=()), seen(20, ())])))
        push(url, token, b"no profile")
        push(url, token, b"of memory", "memory")
        push(url, token, b"of something else", "wall")
        for _ in range(2):
            with pytest.raises(urllib.error.HTTPError) as refused:
                push(url, token, b"", "wall", coding="br")
            refused.value.close()
        samples.close()
        profile = samples.take()
        assert samples.take() is None
        segment.close()
    assert delivery.memory == [b"of memory"]
    # A sample without a stack is left out; the ticks follow from the period.
    assert profile.samples == [
        Sample((FUNCTION, CALLER), 50, 5, SINK),
        Sample((FUNCTION, CALLER), 20, 2, ()),
    ]
    assert delivery.dropped == {"unreadable": 1, "refused_push": 2}
    assert delivery.said["refused_push"] == 'of pyroscope-io: unknown compression "br"'
    assert [text for level, text in said if level == "warning"] == []


def test_when_the_queue_is_full_the_oldest_are_dropped_and_counted(monkeypatch):
    monkeypatch.setattr(python_samples, "_MAX_WAITING", 3)
    with FakeShim() as shim:
        segment = Segment.from_fd(shim.fd)
        shim.raw.python_state = 1
        delivery = FakeDelivery()
        samples = PythonSamples(segment, Settings(), delivery, lambda *_: None)
        for number in range(5):
            samples._take("memory", b"%d" % number)
            samples._take("wall", b"nobody wants it")
        assert not samples.look()
        samples.close()
        segment.close()
    assert delivery.dropped == {"queue_full": 2}
    assert delivery.memory == [b"2", b"3", b"4"]


def test_void_samples_are_not_delivered():
    with FakeShim() as shim:
        segment = Segment.from_fd(shim.fd)
        shim.raw.python_state = 1
        samples = PythonSamples(segment, Settings(), FakeDelivery(), lambda *_: None)
        samples._take("process_cpu", encode(Profile(1, 2, 10, [seen(50)])))
        shim.raw.python_state = lib.GP_PYTHON_SAMPLED
        assert samples.look()
        samples._take("process_cpu", encode(Profile(1, 2, 10, [seen(50)])))
        shim.raw.python_state = lib.GP_PYTHON_NONE
        assert not samples.look()
        samples.close()
        assert (samples.take(), samples.patience_s) == (None, 0)
        segment.close()


@pytest.mark.parametrize(("setting_s", "interval_s"), [(10, 10), (0.1, 1)])
def test_windows_end_with_the_pushes_of_pyroscope_io(setting_s, interval_s):
    with FakeShim() as shim:
        segment = Segment.from_fd(shim.fd)
        shim.raw.python_state = lib.GP_PYTHON_ENTERED
        samples = PythonSamples(
            segment, Settings(upload_interval=setting_s), FakeDelivery(), lambda *_: None
        )
        assert not samples.look()
        shim.raw.python_state = lib.GP_PYTHON_SAMPLED
        assert samples.look()  # the time before is not sampled
        assert (samples.take(), samples.patience_s) == (None, 2 * interval_s)
        assert not samples.look()
        samples._take("process_cpu", encode(Profile(1, 2, 10, [])))
        assert samples.look()  # an empty push ends a window, too
        assert (samples.take().samples, samples.patience_s) == ([], 2 * interval_s)
        assert not samples.look()
        for _ in range(2):
            samples._take("process_cpu", encode(Profile(1, 2, 10, [seen(50)])))
        assert samples.look()
        assert [one.samples for one in samples.take().samples] == [5, 5]
        # No push came: the next window does not wait for one.
        assert (samples.take(), samples.patience_s) == (None, 0)
        samples._take("process_cpu", encode(Profile(1, 2, 10, [])))
        samples.look()
        samples.take()
        assert samples.patience_s
        segment.close()


@pytest.mark.parametrize(
    ("state", "lost"), [("ENTERED", 0), ("SAMPLED", 1), ("PUSHED", 0), ("NONE", 0)]
)
@pytest.mark.parametrize("memory", ["none", "wanted", "came"])
def test_what_was_not_pushed_before_the_end_is_counted(state, lost, memory):
    with FakeShim() as shim:
        segment = Segment.from_fd(shim.fd)
        shim.raw.python_state = lib.GP_PYTHON_ENTERED
        settings = Settings(python_memory=memory != "none")
        samples = PythonSamples(segment, settings, FakeDelivery(), lambda *_: None)
        if memory == "came":
            samples._take("memory", b"of memory")
            samples.look()
        shim.raw.python_state = getattr(lib, f"GP_PYTHON_{state}")
        assert samples.counters() == {
            "python_end_lost": lost,
            "python_memory_none": int(memory == "wanted"),
        }
        segment.close()


def test_pushes_without_the_token_are_refused():
    taken = []
    with Collector(lambda *given: taken.append(given)) as collector:
        collector.start()
        with pytest.raises(urllib.error.HTTPError) as refused:
            push(collector.url, "guessed", encode(Profile(1, 2, 10, [seen(50)])))
        refused.value.close()
    assert taken == []


def test_a_file_keeps_python_samples_apart():
    profile = Profile(1, 2, 10, native(30, 10), python=[seen(50, ticks=5)])
    again = decode(encode(profile))
    assert again.samples == profile.samples
    assert again.python == profile.python
    assert decode(encode(Profile(1, 2, 10, native(30, 10)))).python == []


def test_merging_keeps_python_samples_apart():
    merge = Merge()
    for _ in range(2):
        merge.add(Profile(1, 2, 10, native(30, 10), python=[seen(50, ticks=5)]))
    whole = merge.profile()
    assert sum(one.cpu_ns for one in whole.samples) == 80
    assert [(one.cpu_ns, one.samples) for one in whole.python] == [(100, 10)]


OTHER = Frame("other", file="lib.py")


@pytest.mark.parametrize(
    ("work_ns", "other_ns", "told"),
    [
        # All of the time is sampled.
        (750, 250, [("work", "app.py", 750, 750, 3), ("other", "lib.py", 250, 250, 1)]),
        # A function has no more time than its samples; the rest is not sampled.
        (
            300,
            100,
            [
                ("[python, not sampled]", "", 600, 600, 0),
                ("work", "app.py", 300, 300, 3),
                ("other", "lib.py", 100, 100, 1),
            ],
        ),
        # Nor do they exceed the native time, of which samples may have been lost: they are scaled down to it.
        (3000, 1000, [("work", "app.py", 750, 750, 3), ("other", "lib.py", 250, 250, 1)]),
    ],
)
def test_python_samples_divide_the_native_samples_time(work_ns, other_ns, told):
    python = [seen(work_ns, ticks=3), seen(other_ns, frames=(OTHER, CALLER), ticks=1)]
    summary = summarize(Profile(1, 2, 10, native(1000, 500), python=python))
    [row] = [row for row in summary.rows if row.path == PATH]
    assert (row.self_ns, row.python_ns) == (1500, 1000)
    [*functions, caller] = [tuple(one) for one in row.python()]
    assert functions == told
    assert caller == ("on_sample", "app.py", 0, min(1000, work_ns + other_ns), 4)
    assert sum(one.self_ns for one in row.python()) == row.python_ns
    assert summary.accounted_s == 1500e-9


def test_without_native_python_there_is_nothing_to_divide():
    summary = summarize(Profile(1, 2, 10, native(0, 500), python=[seen(300)]))
    assert all(row.python() == [] for row in summary.rows)


@pytest.mark.parametrize(
    ("function", "runs"),
    [
        ("python3.14+0x51232d", True),
        ("libpython3.14t.so.1.0+0x51232d", True),
        ("python3.13+0x51232d", False),  # CPython's evaluation loop has a name there
        ("_PyObject_Call", False),
        ("_gi.cpython-314-x86_64-linux-gnu.so+0x192d0", False),
    ],
)
def test_a_loop_without_a_name_is_python(function, runs):
    frames = (Frame("memcpy"), Frame(function), element_frame("sink", "appsink", PATH))
    profile = Profile(1, 2, 10, [Sample(frames, 30, 3, SINK)], python=[seen(1)])
    [row] = summarize(profile).rows
    assert row.python_ns == (30 if runs else 0)


def test_nested_elements_are_kept_apart():
    deep = (*SINK, ("path", "/p/bin/sink"))
    frame = element_frame("sink", "appsink", "/p/bin/sink")
    samples = [*native(10, 0), Sample((Frame(PYTHON), frame), 20, 1, deep)]
    profile = Profile(1, 2, 10, samples, python=[seen(10), seen(20, deep, (CALLER,))])
    found = {row.path: [one.name for one in row.python()] for row in summarize(profile).rows}
    assert found == {PATH: ["work", "on_sample"], "/p/bin/sink": ["on_sample"]}


def test_both_sides_use_the_same_names():
    text = (CSRC / "shim" / "python" / "python_tags.c").read_text()
    table = re.findall(r'\[GP_LABEL_(\w+)\] = "([^"]+)"', text)
    assert {kind.lower(): name for kind, name in table} == FIXED_NAMES


def test_the_hosts_module_needs_nothing_of_ours():
    spec = importlib.util.find_spec("gst_pyro_shim.python.host_python")
    text = Path(spec.origin).read_text()
    imported = set(re.findall(r"^(?:import|from) (\w+)", text, re.MULTILINE))
    assert imported == {"__future__", "_thread", "atexit", "importlib", "os", "sys"}
