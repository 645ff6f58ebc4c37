# SPDX-License-Identifier: MIT
"""views/summary.py, views/report.py, pprof/files.py: the table, the JSON, and what is said when something is missing.

Context: test.
"""

import gzip
import io
import json
import os
import re
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from gst_pyro_shim import cli
from gst_pyro_shim.errors import GstPyroError, ProfileFormatError
from gst_pyro_shim.pprof import files
from gst_pyro_shim.pprof.encode import encode
from gst_pyro_shim.pprof.merge import Merge
from gst_pyro_shim.pprof.model import NOT_SAMPLED, PYTHON, Frame, Profile, Sample, element_frame
from gst_pyro_shim.pprof.run_facts import RunFacts
from gst_pyro_shim.views import explanations, report, summary
from tests.support import profiles

ABI = Path(__file__).parents[2] / "csrc" / "shared" / "abi.h"
PACKAGE = Path(cli.__file__).parent
WINDOW = PACKAGE / "agent" / "window.py"
AGENT = PACKAGE / "agent" / "agent.py"
PYTHON_SAMPLES = PACKAGE / "python" / "samples.py"
FACTS = RunFacts(program="prog", end="ended with status 0")


class _Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def _render(profile, file=None):
    return report.table(profile, file or io.StringIO())


def _rows(profile):
    return {row.path or row.name: row for row in summary.summarize(profile).rows}


def test_elements_by_self_and_total_time():
    rows = _rows(profiles.demo())
    assert list(rows) == ["/pipeline0/x264enc0", "/pipeline0/videotestsrc0", "[main thread]"]
    x264, source, main = rows.values()
    assert (x264.self_ns, x264.total_ns) == (2_000_000_000, 2_000_000_000)
    assert (source.self_ns, source.total_ns) == (900_000_000, 2_400_000_000)
    assert (main.self_ns, main.samples, main.factory) == (100_000_000, 0, "")
    assert [len(row.threads) for row in rows.values()] == [2, 1, 1]
    assert [row.samples for row in rows.values()] == [200, 90, 0]


def test_an_element_counts_once_however_often_it_is_in_the_stack():
    frames = (profiles.X264, profiles.SRC, profiles.X264)
    rows = _rows(Profile(1, 2, 3, [Sample(frames, 7, 1)]))
    assert [(row.self_ns, row.total_ns) for row in rows.values()] == [(7, 7), (0, 7)]


def test_same_names_in_other_bins_are_other_elements():
    frames = [element_frame("conv", "videoconvert", f"/pipeline0/bin{i}/conv") for i in range(2)]
    text = _render(replace(profiles.demo(), samples=[Sample((one,), 10**9, 5) for one in frames]))
    assert "/pipeline0/bin0/conv" in text
    assert "/pipeline0/bin1/conv" in text


def test_threads_of_the_same_number_in_two_processes_are_two():
    merge = Merge()
    merge.add(profiles.demo(pid=1))
    merge.add(profiles.demo(pid=2))
    rows = _rows(merge.profile())
    assert [len(row.threads) for row in rows.values()] == [4, 2, 2]
    assert summary.summarize(merge.profile()).process_cpu_s == 6.0


def test_without_element_frames_the_labels_decide():
    labels = (("element", "a"), ("factory", "fakesink"), ("pipeline", "p"))
    assert list(_rows(Profile(1, 2, 3, [Sample((), 1, 1, labels)]))) == ["/p/a"]
    assert list(_rows(Profile(1, 2, 3, [Sample((), 1, 1)]))) == ["[no element]"]


def test_the_table():
    assert _render(profiles.demo()).splitlines() == [
        " ELEMENT        FACTORY       SELF CPU s      %  TOTAL CPU s  THREADS  SAMPLES",
        " ─────────────────────────────────────────────────────────────────────────────",
        " x264enc0       x264enc            2.000   66.7        2.000        2      200",
        " videotestsrc0  videotestsrc       0.900   30.0        2.400        1       90",
        " [main thread]                     0.100    3.3        0.100        1        0",
        "",
        " total                             3.000  100.0                     3      290",
        "",
        f"samples             290 at 100 Hz of CPU time, clock: {report._CLOCKS['perf']}",
        "dropped             0",
        "CPU accounted       100.0 % of 3.000 s, the process's user + system time until its profile was closed",
        "stacks to the root  100.0 % of 290 (by CFI 280, by verified scan 5, with a guessed frame 5)",
        "leaf frames named   90.0 % of samples",
    ]


def test_what_the_footer_has_to_say_in_other_cases():
    counters = {
        "dropped_ring_full": 3,
        "dropped_nested": 1,
        "stacks_leaf_only": 4,
        "pushed_profiles": 7,
        "pushed_bytes": 20480,
        "spooled": 2,
        "dropped_too_old": 5,
        "signal_taken": 6,
        "python_end_lost": 1,
    }
    text = _render(profiles.demo(counters=counters, agent_cpu_s=0.25, notes=["look: here"]))
    assert "dropped             4 (ring full 3, nested 1)" in text
    assert "stacks to the root  0.0 % of 4 (leaf only 4)" in text
    assert "7 profiles, 20 KiB, 2 kept on disk for later, 5 dropped (too old 5)" in text
    assert "agent               0.250 s CPU outside the program" in text
    assert "took the sampling signal over in 6 windows" in text
    assert "last push did not come from 1 processes" in text
    assert "note: look: here" in text


@pytest.mark.parametrize(
    ("clock", "says"),
    [
        ("perf", "clock: perf task-clock (for time in the kernel: CPU timers"),
        ("timer", "functions inside an element keep the tick's bias"),
        ("none", "no signal was free"),
        ("", "clock: unknown"),
    ],
)
def test_each_clock_is_named_with_its_limit(clock, says):
    assert says in _render(profiles.demo(sample_clock=clock))


def test_a_file_gets_no_colour_and_no_cut_names():
    name = "an_element_with_a_very_long_name_" * 8
    frame = element_frame(name, "factory", f"/p/{name}")
    text = _render(replace(profiles.demo(), samples=[Sample((frame,), 10**9, 1)]))
    assert name in text
    assert "\x1b" not in text


def test_a_terminal_gets_colour_and_folded_names(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    name = "element_" * 20
    frame = element_frame(name, "factory", f"/p/{name}")
    text = _render(replace(profiles.demo(), samples=[Sample((frame,), 10**9, 1)]), _Terminal())
    assert "\x1b[1m" in text
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()
    assert max(map(len, lines)) <= 80
    names = "".join(line[1:25].split("  ")[0].strip() for line in lines[2:14])
    assert names.startswith(name)


@pytest.mark.parametrize(
    ("columns", "heading"), [(64, "TOTAL s"), (80, "SAMPLES"), (80, "SELF s"), (100, "SELF CPU s")]
)
def test_usual_names_are_not_folded(monkeypatch, columns, heading):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    names = ("[before the tracer]", "[gst-pyro agent]", "autovideosink0-actual")
    samples = [Sample((element_frame(name, "videoconvert"),), 10**9, 1) for name in names]
    text = _render(replace(profiles.demo(), samples=samples), _Terminal())
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()
    assert f" {heading} " in f"{lines[0]} "
    assert ("SAMPLES" in lines[0]) == (columns > 64)
    assert all(any(line.startswith(f" {name} ") for line in lines) for name in names)
    assert max(map(len, lines)) <= columns


def test_hostile_names_do_not_reach_the_terminal():
    frame = element_frame("a\x1b[2Jb\n[red]c\u202e", "f\r", "/p/x")
    for file in (None, _Terminal()):
        text = _render(replace(profiles.demo(), samples=[Sample((frame,), 10**9, 1)]), file)
        assert "\x1b[2J" not in text
        assert "\u202e" not in text
    assert "a\\x1b[2Jb\\n[red]c\\u202e" in _render(
        replace(profiles.demo(), samples=[Sample((frame,), 10**9, 1)])
    )


def test_a_terminal_that_knows_no_unicode(monkeypatch):
    file = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    frame = element_frame("名前", "f", "/p/x")
    text = _render(replace(profiles.demo(), samples=[Sample((frame,), 10**9, 1)]), file)
    assert "\\u540d\\u524d" in text
    assert "─" not in text
    file.write(text)


def test_many_elements_are_a_few_rows_and_a_sum():
    frames = [element_frame(f"identity{i}", "identity", f"/p/identity{i}") for i in range(70)]
    many = [Sample((one,), (71 - i) * 10**7, 1, tid=7) for i, one in enumerate(frames)]
    text = _render(replace(profiles.demo(), samples=many))
    lines = text.splitlines()
    assert lines[61].split()[0] == "identity59"
    assert lines[62].split() == ["10", "more:", "report", "--all", "0.650", "2.5", "1", "10"]
    assert lines[64].split() == ["total", "25.550", "100.0", "1", "70"]
    whole = report.render(
        summary.summarize(replace(profiles.demo(), samples=many)), io.StringIO(), every_row=True
    )
    assert "identity69" in whole
    assert "more:" not in whole
    assert "more:" not in _render(replace(profiles.demo(), samples=many[:61]))


def test_by_another_label(tmp_path, capsys):
    demo = profiles.demo()
    # What would be 0.0 % is counted, but for the one that leads.
    tiny = replace(demo.samples[3], frames=(element_frame("sink0", "sink", "/p/sink0"),), cpu_ns=1)
    demo = replace(demo, samples=[*demo.samples, tiny, replace(tiny, tid=9)])
    threads = ["src", "worker", "src", "", "src", "other"]
    samples = [
        replace(one, labels=(*one.labels, ("thread", name)) if name else one.labels)
        for one, name in zip(demo.samples, threads, strict=True)
    ]
    file = tmp_path / "x.pb.gz"
    files.write(file, replace(demo, samples=samples), force=False)
    assert cli.main(["report", "--by", "thread", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [" ".join(line.split()) for line in lines if line and "─" not in line] == [
        "THREAD CPU s % THREADS ELEMENTS, % OF ALL",
        "src 2.400 80.0 2 x264enc0 50.0, videotestsrc0 30.0, 1 more",
        "worker 0.500 16.7 1 x264enc0 16.7",
        "[not known] 0.100 3.3 1 [main thread] 3.3",
        "other 0.000 0.0 1 sink0 0.0",
        "total 3.000 100.0",
    ]
    assert cli.main(["report", "--by", "factory", str(file)]) == 0
    assert "[no factory]  0.100 " in capsys.readouterr().out


def _by(file, *flags):
    return cli.main(["report", "--by", "thread", *flags, str(file)])


def test_groups_as_json_stand_beside_all_other_figures(tmp_path, capsys):
    file = tmp_path / "x.pb.gz"
    demo = profiles.demo()
    named = [
        replace(one, labels=(*one.labels, ("thread", "src"))) if one.tid == 7 else one
        for one in demo.samples
    ]
    files.write(file, replace(demo, samples=named), force=False)
    assert _by(file, "--json") == 0
    given = json.loads(capsys.readouterr().out)
    assert given["by"] == "thread"
    source = {"path": "/pipeline0/videotestsrc0", "factory": "videotestsrc", "cpu_s": 0.9}
    x264 = {"name": "x264enc0", "path": "/pipeline0/x264enc0", "factory": "x264enc"}
    main = {"name": "[main thread]", "path": "", "factory": None, "cpu_s": 0.1}
    assert given["groups"] == [
        {
            "name": "src",
            "cpu_s": 2.4,
            "threads": 1,
            "samples": 240,
            "elements": [x264 | {"cpu_s": 1.5}, {"name": "videotestsrc0"} | source],
        },
        {
            "name": None,
            "cpu_s": 0.6,
            "threads": 2,
            "samples": 50,
            "elements": [x264 | {"cpu_s": 0.5}, main],
        },
    ]
    assert report.main(file, as_json=True) == 0
    whole = json.loads(capsys.readouterr().out)
    assert {key: given[key] for key in whole} == whole


def test_groups_are_a_few_rows_unless_all_are_asked_for(tmp_path, capsys):
    file = tmp_path / "x.pb.gz"
    elements = [element_frame(f"e{i}", "identity", f"/p/e{i}") for i in range(10)]
    samples = [
        Sample(
            (elements[i % 10 if i < 10 else 0],), 10**7, 1, (("thread", f"t{max(i, 9)}"),), i + 1
        )
        for i in range(79)
    ]
    files.write(file, replace(profiles.demo(), samples=samples), force=False)
    assert _by(file) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split()[:4] == ["t9", "0.100", "12.7", "10"]
    assert lines[2].endswith("4 more")
    assert lines[62].split() == ["10", "more:", "report", "--all", "0.100", "12.7", "10"]
    assert lines[64].split() == ["total", "0.790", "100.0"]
    assert _by(file, "--all") == 0
    whole = capsys.readouterr().out
    assert "more" not in whole
    assert all(f" t{i} " in whole for i in range(9, 79))
    assert all(f"e{i} 1.3" in whole for i in range(10))


def test_namesakes_are_told_apart_behind_a_group(tmp_path, capsys):
    file = tmp_path / "x.pb.gz"
    frames = [element_frame("conv", "videoconvert", f"/p/bin{i}/conv") for i in range(2)]
    samples = [Sample((one,), (3 - i) * 10**9, 5) for i, one in enumerate(frames)]
    files.write(file, replace(profiles.demo(), samples=samples), force=False)
    assert _by(file) == 0
    assert "/p/bin0/conv 60.0, /p/bin1/conv 40.0" in capsys.readouterr().out


def test_groups_of_an_empty_run_say_why_it_is_empty(tmp_path, capsys):
    file = tmp_path / "x.pb.gz"
    files.write(file, _none(problems=["a push was cut off"]), force=False)
    assert _by(file) == 0
    said = capsys.readouterr().out
    assert "Nothing was sampled.\nThe tracer was not loaded" in said
    assert report.main(file) == 0
    assert capsys.readouterr().out == said


def test_groups_of_another_tool_s_profile_are_refused(tmp_path, capsys):
    file = tmp_path / "x.pb.gz"
    files.write(file, replace(profiles.demo(), comments=["go"]), force=False)
    assert _by(file) == _by(file, "--json") == ProfileFormatError.exit_code
    assert "that gst-pyro-shim did not write" in capsys.readouterr().err


def _none(**facts):
    return Profile(0, 0, 0, [], [replace(FACTS, **facts).to_comment()])


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({}, "The tracer was not loaded: prog is no GStreamer program"),
        # The copy of a registry that knew the tracer already says nothing of this program.
        (
            {"registry_has_tracer": True},
            "the tracer refused its settings or could not start, or prog",
        ),
        ({"registry_has_tracer": True}, "or never initialized GStreamer, or LD_PRELOAD was lost"),
        ({"registry_update_off": True}, "GST_REGISTRY_UPDATE=no keeps GStreamer from finding"),
        ({"registry_written": True}, "the tracer's plugin could not be loaded"),
        ({"registry_written": True, "registry_has_tracer": True}, "before it was up.\n"),
        ({"preload_ignored": "is linked statically"}, "prog is linked statically: the loader"),
        ({"preload_ignored": "is linked statically"}, "a build that is linked dynamically"),
        ({"preload_ignored": "has file capabilities"}, "a copy of it without these rights"),
        ({"problems": ["a push was cut off"]}, "note: a push was cut off"),
        ({"counters": {"failed_programs": 2}}, "pushed  2 programs not profiled"),
        ({"counters": {"dropped_unreadable": 3}}, "pushed  3 dropped (unreadable 3)"),
    ],
)
def test_why_nothing_came(facts, says):
    text = _render(_none(**facts))
    assert text.startswith("Nothing was sampled.\n")
    assert says in text
    assert "ELEMENT" not in text


def test_what_run_itself_did_not_take_is_counted_under_the_table():
    facts = replace(FACTS, counters={"failed_programs": 2, "dropped_unreadable": 1})
    profile = profiles.demo(counters={"pushed_profiles": 3, "pushed_bytes": 2048})
    profile = replace(profile, comments=[*profile.comments, facts.to_comment()])
    said = "3 profiles, 2 KiB, 2 programs not profiled, 1 dropped (unreadable 1)"
    assert said in _render(profile)
    data = summary.summarize(profile).as_json()
    assert data["counters"]["failed_programs"] == 2
    assert data["dropped_profiles"] == {"unreadable": 1}


def test_times_without_totals_are_no_empty_run():
    profile = profiles.demo()
    told = _render(replace(profile, comments=[FACTS.to_comment()]))
    assert "x264enc0" in told
    assert "Nothing was sampled" not in told
    assert "The totals of the processes cannot be read" in told


def test_counts_that_cancel_out_are_no_division_by_zero():
    one = profiles.stats(counters={"stacks_cfi": 1})
    other = profiles.stats(pid=1, counters={"stacks_guessed": -1})
    comments = [one.to_comment(), other.to_comment()]
    text = _render(replace(profiles.demo(), comments=comments))
    assert "stacks to the root  0.0 % of 0" in text


def test_a_process_that_used_no_cpu():
    profile = replace(profiles.demo(notes=["settings refused"]), samples=[])
    assert "it reported no CPU time" in _render(profile)
    assert "note: settings refused" in _render(profile)


def test_no_element_ran():
    main = Sample((profiles.MAIN,), 10**7, 1)
    text = _render(replace(profiles.demo(), samples=[main]))
    assert "No element used CPU time: no pipeline reached PLAYING" in text
    assert "[main thread]" in text


def test_too_short_for_a_sample():
    samples = [replace(one, samples=0) for one in profiles.demo().samples]
    assert "ended before the first tick" in _render(replace(profiles.demo(), samples=samples))
    assert "too short" not in _render(profiles.demo())


def test_no_sample_where_the_program_took_the_signal():
    profile = profiles.demo(counters={"signal_taken": 1})
    text = _render(replace(profile, samples=[replace(one, samples=0) for one in profile.samples]))
    assert "took the sampling signal over" in text
    assert "too short" not in text


@pytest.mark.parametrize(
    ("process_s", "share", "says"),
    [
        (2.94, "102.0", "0.060 s (2.0 %) more are shown than the process's own clock says"),
        (2.99, "100.3", ""),  # within what two clocks differ by
        (3.01, "99.7", ""),
        (3.06, "98.0", "0.060 s (2.0 %) of what the process has used are not shown"),
        (0.0, "", ""),  # its clock was never read
    ],
)
def test_accounts_and_the_process_s_clock_are_both_shown(process_s, share, says):
    profile = profiles.demo(process_cpu_s=process_s)
    text = _render(profile)
    assert (f"CPU accounted       {share} % of {process_s:.3f} s" in text) == bool(share)
    assert says in text
    assert ("more are shown" in text, "are not shown" in text) == ("more" in says, "not" in says)
    found = summary.summarize(profile).as_json()
    assert (found["process_cpu_s"], found["accounted_cpu_s"]) == (process_s, 3.0)
    assert found["excess_cpu_s"] == pytest.approx(3.0 - process_s if says else 0.0)


@pytest.mark.parametrize(
    ("unseen_s", "says"), [(0.06, "; 2.0 % in no thread's account"), (0.009, "")]
)
def test_what_no_account_holds_is_said_beside(unseen_s, says):
    unseen = Sample((element_frame("[unseen threads]"),), int(unseen_s * 1e9), 0)
    profile = profiles.demo(process_cpu_s=3.0 + unseen_s)
    text = _render(replace(profile, samples=[*profile.samples, unseen]))
    assert f"until its profile was closed{says}\n" in text
    assert "are shown" not in text


def test_two_short_clocks_may_differ_by_some_milliseconds():
    samples = [Sample((Frame("f"), profiles.X264), 109 * 10**6, 1)]
    profile = replace(profiles.demo(process_cpu_s=0.1), samples=samples)
    assert "more are shown" not in _render(profile)


def test_on_how_many_samples_python_functions_rest():
    tags = profiles.labels("x264enc0", "x264enc")
    seen = [
        Sample((Frame(name), Frame("caller")), ns, ticks, tags)
        for name, ns, ticks in (("work", 500_000_000, 20), ("rest", 250_000_000, 10))
    ]
    seen.append(Sample((NOT_SAMPLED,), 50_000_000, 0, tags))
    native = [Sample((Frame(PYTHON), profiles.X264), 10**9, 100)]
    profile = replace(profiles.demo(), samples=native, python=seen)
    # What was told as such, and what was not told at all: its profile is missing.
    says = "Python functions    0.750 s by 30 samples at 25 Hz, 0.250 s not sampled"
    assert says in _render(profile)
    data = summary.summarize(profile).as_json()
    assert data["python"] == {
        "cpu_s": 1.0,
        "samples": 30,
        "sample_rate": 25,
        "not_sampled_cpu_s": 0.25,
    }
    [row] = data["elements"]
    assert {one["function"]: (one["cpu_s"], one["samples"]) for one in row["python"]} == {
        "work": (0.5, 20),
        "rest": (0.25, 10),
        "caller": (0.0, 30),
        "[python, not sampled]": (0.25, 0),
    }
    text = (ABI.parents[1] / "shim" / "python" / "pyroscope_io.c").read_text()
    assert f"RATE_PART = {summary._PYTHON_RATE_PART}," in text


def test_namesakes_are_told_apart_in_the_table_of_python_functions():
    samples, seen = [], []
    for path in ("/p/b0/py0", "/p/b1/py0"):
        labels = (("element", "py0"), ("factory", "py"), ("pipeline", "p"), ("path", path))
        frames = (Frame(PYTHON), element_frame("py0", "py", path))
        samples.append(Sample(frames, 10**9, 100, labels))
        seen.append(Sample((Frame("work"),), 10**9, 0, labels))
    text = _render(replace(profiles.demo(), samples=samples, python=seen))
    told = [line.split() for line in text.splitlines() if " work " in line]
    assert [cells[0] for cells in told] == ["/p/b0/py0", "/p/b1/py0"]


@pytest.mark.parametrize(
    ("home", "says"),
    [("process", "pyroscope-io could not be"), ("embedded", "the agent runs in the program")],
)
def test_why_no_python_function_was_seen(home, says):
    python = Sample((Frame(PYTHON), profiles.X264), 10**9, 100)
    seen = Sample((Frame("work"), profiles.X264), 10**9, 0, profiles.labels("x264enc0", "x264enc"))
    profile = replace(profiles.demo(agent_home=home), samples=[python])
    assert f"No Python function was sampled in 1.0 s of Python: {says}" in _render(profile)
    assert "No Python function was sampled" not in _render(replace(profile, python=[seen]))
    short = replace(profile, samples=[replace(python, cpu_ns=10**8 - 1)])
    assert "No Python function was sampled" not in _render(short)


def test_a_process_whose_last_word_is_missing():
    assert "The last moments are missing" in _render(profiles.demo(final=False))


def test_json_has_what_machines_were_promised(tmp_path, capsys):
    file = tmp_path / "x.pb.gz"
    files.write(file, profiles.demo(), force=False)
    assert report.main(file, as_json=True) == 0
    given = json.loads(capsys.readouterr().out)
    assert given["duration_s"] == 2.0
    assert given["process_cpu_s"] == 3.0
    assert given["accounted_cpu_s"] == sum(one["self_cpu_s"] for one in given["elements"]) == 3.0
    assert given["samples"] == 290
    assert given["sample_clock"] == "perf"
    assert given["elements"][0] == {
        "name": "x264enc0",
        "path": "/pipeline0/x264enc0",
        "factory": "x264enc",
        "self_cpu_s": 2.0,
        "total_cpu_s": 2.0,
        "threads": 2,
        "samples": 200,
        "python_cpu_s": 0.0,
        "python": [],
    }
    assert given["elements"][-1]["name"] == "[main thread]"
    assert given["elements"][-1]["factory"] is None
    assert given["dropped"] == {}
    assert given["stacks"]["complete"] == 285
    assert given["stacks"]["truncated"] == 0
    assert given["stacks"]["by_how"]["guessed"] == 5
    assert given["named_fraction"] == 0.9


def test_the_same_table_comes_from_the_file(tmp_path, capsys):
    file = tmp_path / "x.pb.gz"
    profile = profiles.demo()
    files.write(file, profile, force=False)
    assert report.main(file) == 0
    assert capsys.readouterr().out == _render(profile) + "\n"


def test_a_profile_of_another_tool_is_refused(tmp_path):
    file = tmp_path / "x.pb.gz"
    files.write(file, replace(profiles.demo(), comments=["go"]), force=False)
    with pytest.raises(ProfileFormatError, match="that gst-pyro-shim did not write") as raised:
        report.main(file)
    assert "go tool pprof" in raised.value.hint


@pytest.mark.parametrize(
    ("data", "says"), [(b"", "empty"), (b"text\n", "not a pprof"), (b"\x1f\x8b", "cut off")]
)
def test_what_is_no_profile_is_named(tmp_path, data, says):
    file = tmp_path / "x.pb.gz"
    file.write_bytes(data)
    with pytest.raises(ProfileFormatError, match=says) as raised:
        report.main(file)
    assert str(file) in raised.value.message


def test_what_cannot_be_read_is_named(tmp_path):
    for path, says in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(GstPyroError, match=says):
            report.main(path)


def test_a_written_file_is_private_whole_and_alone(tmp_path):
    file = tmp_path / "x.pb.gz"
    files.write(file, profiles.demo(), force=False)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert gzip.decompress(file.read_bytes()) == encode(profiles.demo())
    assert list(tmp_path.iterdir()) == [file]
    with pytest.raises(FileExistsError):
        files.write(file, replace(profiles.demo(), samples=[]), force=False)
    assert files.read(file) == profiles.demo()
    files.write(file, replace(profiles.demo(), samples=[]), force=True)
    assert files.read(file).samples == []
    assert list(tmp_path.iterdir()) == [file]


def test_what_is_no_regular_file_is_not_replaced(tmp_path):
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to("/dev/null")
    for path in (pipe, link, tmp_path):
        with pytest.raises(GstPyroError, match="is no regular file"):
            files.write(path, profiles.demo(), force=True)
    assert pipe.is_fifo()
    assert link.is_symlink()
    assert sorted(tmp_path.iterdir()) == [link, pipe]


def test_what_is_written_into_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_STREAM_DIRS", (str(tmp_path),))
    link, target = tmp_path / "stdout", tmp_path / "target"
    link.symlink_to(target)
    for force in (False, True):
        files.write(link, profiles.demo(), force=force)
        assert link.is_symlink()
        assert files.read(target) == profiles.demo()


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gst_pyro_shim.pprof.files.os.fdopen", full)
    with pytest.raises(OSError, match="No space"):
        files.write(tmp_path / "x.pb.gz", profiles.demo(), force=False)
    assert list(tmp_path.iterdir()) == []


def test_names_of_counters_are_those_of_the_abi():
    names = {name.lower() for name in re.findall(r"\bGP_COUNTER_([A-Z_]+)", ABI.read_text())}
    names |= set(re.findall(r'"(dropped_\w+)": 0', WINDOW.read_text()))
    assert {f"dropped_{name}" for name in summary.SAMPLE_DROPS} == {
        name for name in names if name.startswith("dropped_")
    }
    assert {f"stacks_{name}" for name in summary.STACK_ENDS} == {
        name for name in names if name.startswith("stacks_")
    }
    names |= set(re.findall(r'counters\["(\w+)"\] =', AGENT.read_text()))
    names |= set(re.findall(r'"(python_\w+)": int', PYTHON_SAMPLES.read_text()))
    assert set(explanations.WARNINGS) <= names
    assert set(report._ENDS) == set(summary.STACK_ENDS)
