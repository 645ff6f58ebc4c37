# SPDX-License-Identifier: MIT
"""places.py: an element that was taken into bins is one element; two of one name stay two.

Context: test.
"""

import pytest

from gst_pyro_shim import places
from gst_pyro_shim.model import Frame, Profile, Sample, element_frame
from gst_pyro_shim.summary import summarize


def _profile(*paths):
    frames = [element_frame("dec", "avdec", path) for path in paths]
    return Profile(1, 2, 3, [Sample((Frame("f"), one), 10, 1) for one in frames])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["/dec", "/bin0/dec", "/p/bin0/dec"], {"/p/bin0/dec"}),
        (["/dec", "/p/dec"], {"/p/dec"}),
        (["/p/bin0/dec", "/p/bin1/dec"], {"/p/bin0/dec", "/p/bin1/dec"}),
        (["/dec", "/p/bin0/dec", "/p/bin1/dec"], {"/dec", "/p/bin0/dec", "/p/bin1/dec"}),
        (["/p/dec", "/p/bin0/dec"], {"/p/dec", "/p/bin0/dec"}),
        (["/ec", "/p/dec"], {"/ec", "/p/dec"}),
        (["/dec"], {"/dec"}),
    ],
)
def test_the_longest_path_that_ends_in_the_shorter(before, after):
    settled = places.settled(_profile(*before))
    assert {frame.path for one in settled.samples for frame in one.frames[1:]} == after
    rows = summarize(_profile(*before)).rows
    assert {row.path for row in rows} == after
    assert sum(row.self_ns for row in rows) == 10 * len(before)


def test_elements_of_another_factory_and_no_elements_stay():
    frames = [element_frame("a", "x", "/a"), element_frame("a", "y", "/p/a"), element_frame("[a]")]
    profile = Profile(1, 2, 3, [Sample((one,), 1, 1) for one in frames])
    assert places.settled(profile) is profile
