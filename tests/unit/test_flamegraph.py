# SPDX-License-Identifier: MIT
"""views/flamegraph.py: the page holds the profile, stays small, and no name can get out of its data.

Context: test.
"""

import base64
import hashlib
import itertools
import json
import re
import resource
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given

from gst_pyro_shim import cli
from gst_pyro_shim.pprof import files
from gst_pyro_shim.pprof.model import MARKERS, Frame, Profile, Sample, element_frame
from gst_pyro_shim.pprof.run_facts import RunFacts
from gst_pyro_shim.terminal import printable
from gst_pyro_shim.views import flamegraph
from gst_pyro_shim.views.summary import summarize
from tests.support import profiles


class _Page(HTMLParser):
    """Elements with their attributes, and the text of each script."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.scripts = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.cdata_elem == "script":
            self.scripts[-1] += data


def _data(profile, title="x"):
    return json.loads(_Page(flamegraph.page(profile, title)).scripts[0])


def _stacks(data):
    """Microseconds of each stack itself, by its names from the root on."""
    found, line = {}, []
    for frame, depth, total in data["nodes"]:
        del line[depth:]
        if line:
            found[tuple(line)] -= total
        line.append(data["frames"][frame][0])
        found[tuple(line)] = found.get(tuple(line), 0) + total
    return {stack: round(own) for stack, own in found.items() if round(own)}


def test_the_page_holds_the_stacks():
    assert _stacks(_data(profiles.demo())) == {
        (
            "all",
            "videotestsrc0",
            "gst_pad_push",
            "x264enc0",
            "gst_x264_enc_handle_frame",
        ): 1_500_000,
        ("all", "videotestsrc0", "gst_pad_push"): 900_000,
        ("all", "x264enc0", "gst_x264_enc_handle_frame"): 500_000,
        ("all", "[main thread]", "[no sample]"): 100_000,
    }


def test_elements_are_told_apart_and_located():
    frames = {name: told for name, *told in _data(profiles.demo())["frames"]}
    assert frames["x264enc0"] == ["element", "x264enc", "/pipeline0/x264enc0"]
    assert frames["[main thread]"] == ["element", "", ""]
    assert frames["gst_pad_push"] == ["native", "", "/usr/lib/libgstreamer-1.0.so.0"]
    assert frames["[no sample]"][:2] == ["marker", ""]


def test_python_functions_go_with_their_element():
    labels = profiles.labels("x264enc0", "x264enc")
    native = [Sample((Frame("[python]"), profiles.X264), 1000, 1, labels)]
    functions = [Sample((Frame(f"f{i}", file="/a/b/c.py"),), 100 * i, i, labels) for i in (1, 2, 3)]
    data = _data(Profile(1, 2, 3, native, python=functions))
    assert [(data["frames"][at][0], *told) for at, *told in data["python"]] == [
        ("x264enc0", "[python, not sampled]", "", 0.4),
        ("x264enc0", "f3", "b/c.py", 0.3),
        ("x264enc0", "f2", "b/c.py", 0.2),
        ("x264enc0", "f1", "b/c.py", 0.1),
    ]
    assert data["nodes"][0][2] == 1


def test_every_marker_is_explained():
    samples = [Sample((Frame(name, kind="marker"),), 1, 1) for name in MARKERS]
    frames = _data(Profile(1, 2, 3, samples))["frames"]
    assert len(frames) == 1 + len(MARKERS)
    assert all(meaning for _, _, _, meaning in frames)


def test_the_page_says_what_was_measured():
    text = flamegraph.page(profiles.demo(program="<i>"), "x")
    assert "&lt;i&gt; · 3.000 s CPU in 2.0 s · 290 samples at 100 Hz<" in text


def test_siblings_stand_largest_first():
    depths = [(depth, total) for _, depth, total in _data(profiles.demo())["nodes"]]
    assert [total for depth, total in depths if depth == 1] == [2_400_000, 500_000, 100_000]


def test_lines_of_one_function_are_one_frame():
    stacks = [Sample((Frame("f", file="a.c", line=line),), 1000, 1) for line in range(5)]
    assert _stacks(_data(Profile(1, 2, 3, stacks))) == {("all", "f"): 5}


def test_a_function_is_one_frame_under_whatever_caller():
    stacks = [
        Sample((Frame("hot", file="x.c", line=line), Frame(caller)), 1000, 1)
        for line, caller in ((10, "c1"), (20, "c2"))
    ]
    names = [name for name, *_ in _data(Profile(1, 2, 3, stacks))["frames"]]
    assert sorted(names) == ["all", "c1", "c2", "hot"]


def test_same_names_on_other_paths_stay_apart():
    both = [element_frame("conv", "videoconvert", f"/p/bin{i}/conv") for i in range(2)]
    data = _data(Profile(1, 2, 3, [Sample((one,), 1000, 1) for one in both]))
    assert len(data["nodes"]) == 3


@given(profiles.profiles)
def test_any_profile_makes_a_page(profile):
    total = sum(one.cpu_ns for one in profile.samples if one.cpu_ns > 0)
    nodes = _data(profile)["nodes"]
    assert nodes[0][1:] == [0, total / 1000]
    assert all(after[1] <= before[1] + 1 for before, after in itertools.pairwise(nodes))


def test_no_name_gets_out_of_the_data():
    hostile = "</script><img src=x onerror=alert(1)><!-- {{data}} {{title}} \u2028 ' \" \\"
    frame = element_frame(hostile, "<b>", f"/{hostile}")
    text = flamegraph.page(Profile(1, 2, 3, [Sample((frame,), 1000, 1)]), hostile)
    page = _Page(text)
    assert len(page.scripts) == 2
    assert "img" not in {tag for tag, _ in page.tags}
    assert [one[0] for one in json.loads(page.scripts[0])["frames"]] == ["all", printable(hostile)]


def test_no_name_turns_the_figures_beside_it_around():
    name = "a\u202eb\x1b\n"
    tags = (*profiles.labels(name, name), ("thread", name))
    frames = (Frame("[python]"), element_frame(name, name, f"/pipeline0/{name}"))
    python = [Sample((Frame(name, file=name),), 10**9, 1, tags)]
    text = flamegraph.page(
        replace(
            profiles.demo(program=name), samples=[Sample(frames, 10**9, 1, tags)], python=python
        ),
        name,
    )
    shown = r"a\u202eb\x1b\n"
    data = json.loads(_Page(text).scripts[0])
    assert [shown, "element", shown, f"/pipeline0/{shown}"] in data["frames"]
    assert [one[1:3] for one in data["python"]] == [[shown, shown]]
    assert [one[1] for one in data["threads"]] == [shown]
    assert f"<title>{shown}</title>" in text
    assert f">{shown} · 1.000 s CPU" in text
    assert not any(char in text for char in "\u202e\x1b")


def test_the_page_asks_for_nothing_from_anywhere():
    page = _Page(flamegraph.page(profiles.demo(), "x"))
    loading = {"src", "href", "action", "data", "srcset", "poster"}
    assert not [attributes for _, attributes in page.tags if loading & attributes.keys()]
    assert "http" not in page.scripts[1]
    (policy,) = [given["content"] for _, given in page.tags if "http-equiv" in given]
    script = base64.b64encode(hashlib.sha256(page.scripts[1].encode()).digest()).decode()
    assert re.fullmatch(
        r"default-src 'none'; base-uri 'none'; form-action 'none';\s+"
        f"style-src 'sha256-[^ ]+'; script-src 'sha256-{re.escape(script)}'",
        policy,
    )


def test_a_huge_profile_makes_a_page_that_opens(monkeypatch):
    monkeypatch.setattr(flamegraph, "MAX_NODES", 50)
    stacks = [tuple(Frame(f"f{i}_{j}") for j in range(5)) for i in range(100)]
    data = _data(Profile(1, 2, 3, [Sample(one, 1000 * (i + 1), 1) for i, one in enumerate(stacks)]))
    assert len(data["nodes"]) <= 102
    own = _stacks(data)
    assert sum(own.values()) == 5050
    assert own["all", "[smaller stacks]"] == sum(range(1, 91))


def _own(data):
    """Microseconds of each element itself and of its functions, as the legend has them, and with all that it called."""
    own, whole, line = Counter(), Counter(), []
    for frame, depth, total in data["nodes"]:
        name, kind, *_ = data["frames"][frame]
        del line[depth:]
        above = line[-1] if line else None
        line.append(name if kind == "element" else above)
        own[line[-1]] += total
        own[above] -= total
        if kind == "element" and name not in line[:-1]:
            whole[name] += total
    del own[None]
    return own, whole


@pytest.mark.parametrize("most", [0, 5, 20, 50, 10_000])
def test_each_element_has_its_time_however_little_of_its_stacks_is_shown(monkeypatch, most):
    monkeypatch.setattr(flamegraph, "MAX_NODES", most)
    chain = [element_frame(f"e{i}", "identity", f"/p/e{i}") for i in range(6)]
    samples = []
    for i in range(60):
        innermost = i % 6
        frames = [Frame("start")]
        for element in chain[: innermost + 1]:
            frames += [element, Frame(f"f{i % 7}_{element.name}"), Frame(f"g{i}")]
        samples.append(Sample(tuple(reversed(frames)), 1000 * (i + 1), 1))
    profile = Profile(1, 2, 3, samples)
    own, whole = _own(_data(profile))
    rows = {row.name: row for row in summarize(profile).rows}
    assert own == {name: row.self_ns / 1000 for name, row in rows.items()}
    assert whole == {name: row.total_ns / 1000 for name, row in rows.items()}


def test_deep_stacks_are_no_trouble():
    frames = tuple(Frame(f"f{i}") for i in range(3000))
    assert len(_data(Profile(1, 2, 3, [Sample(frames, 1000, 1)]))["nodes"]) == 3001


def test_a_profile_without_samples_makes_an_empty_page():
    assert _data(replace(profiles.demo(), samples=[]))["nodes"] == [[0, 0, 0.0]]


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_script_parses(tmp_path):
    script = tmp_path / "page.js"
    script.write_text(_Page(flamegraph.page(profiles.demo(), "x")).scripts[1])
    subprocess.run(["node", "--check", str(script)], check=True, timeout=60)


def test_the_verb_writes_beside_the_profile(tmp_path, capsys):
    file = tmp_path / "x.pb.gz"
    files.write(file, profiles.demo(), force=False)
    assert cli.main(["flamegraph", str(file)]) == 0
    page = tmp_path / "x.html"
    assert capsys.readouterr().out == f"{page}\n"
    assert re.search("<title>x.pb.gz</title>", page.read_text())
    assert cli.main(["flamegraph", str(file)]) == 3
    assert "will not overwrite without --force" in capsys.readouterr().err
    assert cli.main(["flamegraph", str(file), "-f"]) == 0
    assert cli.main(["flamegraph", str(file), "-o", str(tmp_path / "y.html")]) == 0
    assert cli.main(["flamegraph", str(file), "-o", str(tmp_path / "none" / "y.html")]) == 3
    assert "Cannot write" in capsys.readouterr().err


@pytest.mark.parametrize(("subcommand", "suffix"), [("flamegraph", ".html"), ("graph", ".dot")])
def test_a_disk_that_takes_no_view_costs_nothing(subcommand, suffix, tmp_path, capsys):
    file, view = tmp_path / "x.pb.gz", tmp_path / f"x{suffix}"
    files.write(file, profiles.demo(), force=False)
    before = file.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        status = cli.main([subcommand, str(file), "-o", str(view)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert status == 3
    error = capsys.readouterr().err
    assert f"Cannot write {view}: File too large.\n" in error
    assert f"{file} is as it was. Name another place with -o.\n" in error
    assert list(tmp_path.iterdir()) == [file]
    assert file.read_bytes() == before


@pytest.mark.parametrize("output", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
@pytest.mark.parametrize("is_pipe", [False, True])
def test_the_page_can_go_to_standard_output(tmp_path, output, is_pipe):
    file, page = tmp_path / "x.pb.gz", tmp_path / "page"
    files.write(file, profiles.demo(), force=False)
    command = [sys.executable, "-m", "gst_pyro_shim", "flamegraph", file, "-o", output]
    with page.open("wb") as out:
        pipe = subprocess.PIPE if is_pipe else out
        done = subprocess.run(command, stdout=pipe, timeout=60, check=True)
    got = done.stdout if is_pipe else page.read_bytes()
    assert got.decode() == flamegraph.page(profiles.demo(), file.name)


@pytest.mark.parametrize("name", ["x.pb.gz", "./link", "hard"])
def test_the_profile_is_not_overwritten_by_its_page(tmp_path, name, capsys):
    file = tmp_path / "x.pb.gz"
    files.write(file, profiles.demo(), force=False)
    (tmp_path / "link").symlink_to(file)
    (tmp_path / "hard").hardlink_to(file)
    assert cli.main(["flamegraph", str(file), "-f", "-o", str(tmp_path / name)]) == 3
    assert "is the profile itself" in capsys.readouterr().err
    assert files.read(file) == profiles.demo()
    assert files.read(tmp_path / name) == profiles.demo()


def test_an_empty_page_says_why_it_is_empty(tmp_path, capsys):
    file = tmp_path / "x.pb.gz"
    facts = RunFacts(program="prog", end="ended with status 0")
    files.write(file, Profile(0, 0, 0, [], [facts.to_comment()]), force=False)
    assert cli.main(["report", str(file)]) == 0
    why = capsys.readouterr().out
    assert "Nothing was sampled.\nThe tracer was not loaded" in why
    assert cli.main(["flamegraph", str(file)]) == 0
    said = capsys.readouterr()
    assert said.out == f"{tmp_path / 'x.html'}\n"
    assert said.err == why
    page = (tmp_path / "x.html").read_text()
    assert "Nothing was sampled. The tracer was not loaded" in page
    files.write(file, profiles.demo(), force=True)
    assert cli.main(["flamegraph", str(file), "-f"]) == 0
    assert capsys.readouterr().err == ""
