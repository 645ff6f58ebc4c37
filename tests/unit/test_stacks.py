# SPDX-License-Identifier: MIT
"""agent/stacks.py: element frames at their place, markers, the thread's own label after its entry.

Context: test.
"""

import re
import struct
from pathlib import Path

import pytest

from gst_pyro_shim.agent.stacks import _PASSING_ON, Stacks, cut_key, entry_index
from gst_pyro_shim.pprof.model import TRUNCATED, UNKNOWN, Frame, element_frame
from gst_pyro_shim.segment.rows import Label
from tests.support import fake_shim as fake

CSRC = Path(__file__).parents[2] / "csrc"
LIBC, SHIM, PLUGIN = "/lib/libc.so.6", "/x/libgstpyro.so", "/lib/gstreamer-1.0/libgstx.so"
START = {0x10: "clone3", 0x11: "start_thread", 0x12: "own_main"}
NAMES = {**{pc: (name, SHIM if "own" in name else LIBC) for pc, name in START.items()}}
LABELS = {
    1: Label("x264enc0", "x264enc", "/pipeline0/x264enc0", "pipeline0"),
    2: Label("queue0", "queue", "/pipeline0/queue0", "pipeline0"),
    3: Label("[main thread]", kind="main"),
}


class Names:
    """Frames by address: return addresses are given one byte behind."""

    version = 0

    def __init__(self):
        self.asked = []

    def frames(self, pc, generation):
        self.asked.append((pc, generation))
        name, module = NAMES.get(pc, (f"f{pc:x}", PLUGIN))
        return (Frame(name, module),)


class Labels:
    version = 0

    def __init__(self):
        self._frames = {}

    def label(self, number):
        return LABELS[number]

    def frame(self, number):
        if number not in self._frames:
            label = LABELS[number]
            self._frames[number] = element_frame(label.name, label.factory, label.path)
        return self._frames[number]


@pytest.fixture
def stacks():
    return Stacks(Labels(), Names())


def key(*words, generation=4):
    return struct.pack(f"=I{len(words)}Q", generation, *words)


def names(stack):
    return [frame.name for frame in stack.frames]


def root(*pcs):
    """Return addresses of a thread's entry, leaf side first."""
    return [pc + 1 for pc in pcs]


def test_only_the_leaf_and_interrupted_frames_are_looked_up_as_they_are(stacks):
    stacks.resolve(1, key(0x100, 0x200, fake.exact(0x300), fake.label_tag(1), 0x400))
    assert stacks._symbolizer.asked == [(0x100, 4), (0x1FF, 4), (0x300, 4), (0x3FF, 4)]


def test_element_frames_are_where_their_tags_are(stacks):
    stack = stacks.resolve(
        1, key(0x100, 0x201, fake.label_tag(1), 0x301, fake.label_tag(2), *root(0x11, 0x10))
    )
    assert names(stack) == [
        "f100", "f200", "x264enc0", "f300", "queue0", "start_thread", "clone3",
    ]  # fmt: skip
    assert stack.frames[2].factory == "x264enc"
    assert stack.frames[2].path == "/pipeline0/x264enc0"
    assert stack.named


def test_a_label_without_a_tag_is_right_after_the_threads_entry(stacks):
    stack = stacks.resolve(1, key(0x100, 0x201, *root(0x12, 0x11, 0x10)))
    assert names(stack) == [
        "f100", "f200", "x264enc0", "own_main", "start_thread", "clone3",
    ]  # fmt: skip


def test_functions_of_ours_around_the_hosts_are_left_out(stacks):
    NAMES[0x13] = ("thread_main", SHIM)
    NAMES[0x14] = ("run_pool_call", SHIM)
    NAMES[0x15] = ("thread_main", PLUGIN)
    stack = stacks.resolve(
        1, key(0x100, *root(0x14, 0x15), 0x201, *root(0x13), fake.label_tag(1), *root(0x11, 0x10))
    )
    assert names(stack) == ["f100", "thread_main", "f200", "x264enc0", "start_thread", "clone3"]
    stack = stacks.resolve(1, key(0x100, *root(0x13, 0x11, 0x10)))
    assert names(stack) == ["f100", "x264enc0", "start_thread", "clone3"]


def test_time_of_our_own_is_shown(stacks):
    NAMES[0x13] = ("thread_main", SHIM)
    NAMES[0x16] = ("gp_redirect_pass", SHIM)
    stack = stacks.resolve(1, key(0x13, *root(0x11, 0x10)))
    assert "thread_main" in names(stack)
    assert names(stacks.resolve(1, key(0x16, *root(0x14, 0x11))))[0] == "gp_redirect_pass"


def test_what_is_left_out_is_in_the_shim():
    defined = "".join(path.read_text(encoding="utf-8") for path in CSRC.rglob("*.c"))
    for name in _PASSING_ON:
        assert f"\n{name} (" in defined, name


def test_every_redirected_call_is_left_out():
    table = (CSRC / "shim" / "calls" / "redirected_calls.c").read_text(encoding="utf-8")
    replacements = set(re.findall(r"\(void \*\) (gp_\w+)", table))
    # It jumps to the host's own dlopen, and so is no frame.
    assert replacements - {"gp_redirect_dlopen"} <= _PASSING_ON
    assert len(replacements) > 20


def test_the_main_threads_label_is_the_root(stacks):
    stack = stacks.resolve(3, key(0x100, 0x201, *root(0x11, 0x10)))
    assert names(stack)[-1] == "[main thread]"


def test_libc_frames_in_the_middle_are_not_the_threads_entry(stacks):
    NAMES[0x20] = ("read", LIBC)
    stack = stacks.resolve(1, key(0x20, *root(0x20, 0x11, 0x10)))
    assert names(stack) == ["read", "read", "x264enc0", "start_thread", "clone3"]


def test_a_thread_that_is_only_its_entry_keeps_its_leaf(stacks):
    assert names(stacks.resolve(1, key(0x11, 0x11))) == ["start_thread", "clone3", "x264enc0"]


def test_a_lone_leaf_has_its_label(stacks):
    assert names(stacks.resolve(1, key(0x100))) == ["f100", "x264enc0"]


def test_gaps_and_a_missing_root_are_marked(stacks):
    stack = stacks.resolve(1, key(0x100, fake.UNKNOWN, 0x201, fake.TRUNCATED))
    assert stack.frames[1] is UNKNOWN
    assert stack.frames[-1] is TRUNCATED
    assert names(stack) == ["f100", "[unknown]", "f200", "x264enc0", "[truncated]"]


def test_a_leaf_in_no_file_or_without_a_name_is_not_named(stacks):
    NAMES[0x500] = ("libgstx.so+0x500", PLUGIN)
    assert not stacks.resolve(1, key(0x500)).named
    assert not stacks.resolve(1, key(fake.UNKNOWN, 0x100)).named


def test_unknown_tags_and_empty_stacks_are_ignored(stacks):
    assert names(stacks.resolve(1, key(0x100, 1 << 63 | 99 << 56))) == ["f100", "x264enc0"]
    assert names(stacks.resolve(1, key())) == ["x264enc0"]


def test_equal_stacks_have_equal_identities(stacks):
    one = stacks.resolve(1, key(fake.label_tag(1), fake.UNKNOWN))
    two = stacks.resolve(1, key(fake.label_tag(1), fake.UNKNOWN, generation=5))
    assert one is not two
    assert one.identity == two.identity


def test_what_is_remembered_is_bounded(stacks, monkeypatch):
    monkeypatch.setattr("gst_pyro_shim.agent.stacks._MAX_FRAMES", 100)
    for pc in range(100):
        stacks.resolve(1, key(*range(0x1000, 0x1001 + pc % 40), pc + 0x2000))
        frames = [len(one.frames) for one in stacks._known.values()]
        assert sum(frames) == stacks._known_frames <= 100
        assert frames[-1] == 3 + pc % 40


def test_deep_stacks_are_cut_in_the_middle(stacks):
    words = list(range(0x1000, 0x1000 + 500))
    cut = cut_key(key(*words))
    assert len(cut) == 4 + 129 * 8
    found = names(stacks.resolve(1, cut))
    assert found[0] == "f1000"
    assert found.count("[truncated]") == 1
    assert found[-2] == f"f{words[-1] - 1:x}"
    short = key(*words[:100])
    assert cut_key(short) is short


def test_a_cut_that_takes_the_innermost_element_puts_it_there():
    stacks = Stacks(Labels(), Names())
    words = [0x1000 + 2 * at for at in range(400)]
    words[150:151] = [words[150], fake.label_tag(1)]
    words[390:391] = [words[390], fake.label_tag(2)]
    found = names(stacks.resolve(1, cut_key(key(*words))))
    at = found.index("[truncated]")
    assert found[at + 1] == "x264enc0"
    assert found.index("queue0") > at
    assert found.count("x264enc0") == 1


def test_no_frames_have_their_entry_at_the_end():
    assert entry_index([]) == 0
