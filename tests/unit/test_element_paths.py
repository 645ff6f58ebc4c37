# SPDX-License-Identifier: MIT
"""views/element_paths.py: an element that was taken into bins is one element; two of one name stay two.

Context: test.
"""

import pytest

from gst_pyro_shim.pprof.model import PYTHON, Frame, Profile, Sample, element_frame
from gst_pyro_shim.views import element_paths, report_by
from gst_pyro_shim.views.summary import summarize


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
        (["dec", "xdec", ""], {"dec", "xdec", ""}),
    ],
)
def test_the_longest_path_that_ends_in_the_shorter(before, after):
    settled = element_paths.settled(_profile(*before))
    assert {frame.path for one in settled.samples for frame in one.frames[1:]} == after
    rows = summarize(_profile(*before)).rows
    assert {row.path for row in rows} == after
    assert sum(row.self_ns for row in rows) == 10 * len(before)


def test_pipelines_without_number_are_settled_at_once(monkeypatch):
    looks = []

    class Path(str):
        __slots__ = ()

        def endswith(self, *given):
            looks.append(given)
            return super().endswith(*given)

    class Element(Frame):
        path = property(lambda self: Path(super().path))

    frames = [
        Element(f.name, file=f.file, kind=f.kind)
        for f in (element_frame("conv", "c", f"/p{i}/conv") for i in range(300))
    ]
    profile = Profile(1, 2, 3, [Sample((one,), 10, 1) for one in frames])
    assert element_paths.settled(profile) is profile
    assert len(looks) < 10 * len(frames)


SETTLED = "/pipeline0/bin0/py0"


def _python(path, pipeline, *labels, ns=10**9):
    """What a Python element used at `path`, and what pyroscope-io saw of it."""
    given = (("element", "py0"), ("factory", "py"), *pipeline, *labels)
    native = Sample((Frame(PYTHON), element_frame("py0", "py", path)), ns, 1, given)
    return native, Sample((Frame(f"at_{path}"),), ns, 1, given)


def test_python_functions_follow_their_element():
    native, seen = zip(
        _python("/py0", ()),
        _python("/bin0/py0", [("pipeline", "bin0")]),
        _python(SETTLED, [("pipeline", "pipeline0")], ("path", SETTLED)),
        strict=True,
    )
    [row] = summarize(Profile(1, 2, 3, list(native), python=list(seen))).rows
    assert row.path == SETTLED
    assert {one.name for one in row.python()} == {"at_/py0", "at_/bin0/py0", f"at_{SETTLED}"}


def test_groups_have_an_element_where_it_stood_last():
    native = [
        _python("/bin0/py0", [("pipeline", "bin0")])[0],
        _python(SETTLED, [("pipeline", "pipeline0")], ("path", SETTLED))[0],
    ]
    found = report_by.group(Profile(1, 2, 3, native), "pipeline")
    assert [(one.value, one.cpu_ns) for one in found] == [("pipeline0", 2 * 10**9)]


def test_python_functions_of_an_element_in_no_bin():
    native, seen = _python("/py0", ())
    [row] = summarize(Profile(1, 2, 3, [native], python=[seen])).rows
    assert (row.path, [one.name for one in row.python()]) == ("/py0", ["at_/py0"])


def test_elements_of_another_factory_and_no_elements_stay():
    frames = [element_frame("a", "x", "/a"), element_frame("a", "y", "/p/a"), element_frame("[a]")]
    profile = Profile(1, 2, 3, [Sample((one,), 1, 1) for one in frames])
    assert element_paths.settled(profile) is profile
