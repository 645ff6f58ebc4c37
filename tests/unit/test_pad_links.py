# SPDX-License-Identifier: MIT
"""pprof/pad_links.py: which elements are linked, through a profile's comments.

Context: test.
"""

import json
from dataclasses import replace

import pytest

from gst_pyro_shim.pprof import pad_links
from gst_pyro_shim.pprof.decode import decode
from gst_pyro_shim.pprof.encode import encode
from gst_pyro_shim.pprof.merge import Merge
from gst_pyro_shim.pprof.model import element_frame
from gst_pyro_shim.segment.rows import Label
from gst_pyro_shim.views import element_paths
from tests.support import profiles

SRC = Label("videotestsrc0", "videotestsrc", "/pipeline0/videotestsrc0")
X264 = Label("x264enc0", "x264enc", "/pipeline0/x264enc0")
SINK = Label('a "\\ / sink', "fakesink", '/pipeline0/a "\\ / sink')
DAMAGED = (
    "",
    "{",
    "[]",
    "7",
    "{}",
    '{"elements":[],"links":[[0,1]]}',
    '{"elements":[["a","b","c"]],"links":[[0,-1]]}',
    '{"elements":[["a","b","c"]],"links":[[0,0,0]]}',
    '{"elements":[["a","b","c"]],"links":[[true,0]]}',
    '{"elements":[["a","b","c"]],"links":[["0",0]]}',
    '{"elements":[["a","b"]],"links":[]}',
    '{"elements":[["a","b",3]],"links":[]}',
    '{"elements":7,"links":[]}',
    "[" * 100_000,
)


def frame(label):
    return element_frame(label.name, label.factory, label.path)


def test_links_are_read_from_a_file():
    links = [(SRC, X264), (X264, SINK)]
    profile = replace(profiles.demo(), comments=[pad_links.to_comment(links)])
    found = pad_links.from_comments(decode(encode(profile)).comments)
    assert found == {(frame(SRC), frame(X264)), (frame(X264), frame(SINK))}


def test_without_links_there_is_no_comment():
    assert pad_links.to_comment([]) is None
    assert pad_links.from_comments(profiles.demo().comments) == set()


@pytest.mark.parametrize("text", DAMAGED)
def test_what_is_damaged_is_passed_over(text):
    good = pad_links.to_comment([(SRC, X264)])
    assert pad_links.from_comments([f"gst-pyro-links {text}", good]) == {(frame(SRC), frame(X264))}


def test_windows_are_put_together():
    merge = Merge()
    for links in ([(SRC, X264)], [(X264, SINK)]):
        one = profiles.demo()
        merge.add(replace(one, comments=[*one.comments, pad_links.to_comment(links)]))
    assert len(pad_links.from_comments(merge.profile().comments)) == 2


def test_a_link_from_before_the_bin_was_taken_in_is_the_same_link():
    early = replace(SRC, path="/videotestsrc0", pipeline="")
    comments = [pad_links.to_comment([(early, X264)]), pad_links.to_comment([(SRC, X264)])]
    profile = replace(profiles.demo(), comments=comments)
    assert element_paths.settled_links(profile) == {(profiles.SRC, profiles.X264)}


def test_each_element_is_written_once():
    comment = pad_links.to_comment([(SRC, X264), (SRC, SINK)])
    content = json.loads(comment.removeprefix("gst-pyro-links "))
    assert len(content["elements"]) == 3
