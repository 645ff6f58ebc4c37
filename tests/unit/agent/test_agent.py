# SPDX-License-Identifier: MIT
"""agent.py, delivery.py: the loop from its first window on, with a shim and servers that are made up.

Context: test.
"""

import os
import re

import pytest

from gst_pyro_shim.agent import start
from gst_pyro_shim.agent.log import Log
from gst_pyro_shim.pprof.decode import decode
from gst_pyro_shim.pprof.merge import Merge
from gst_pyro_shim.segment.segment import AGENT_DONE, AGENT_REFUSED
from tests.support.agent_run import burn, element_ms, running
from tests.support.fake_shim import FakeShim
from tests.support.waiting import wait_for


def test_what_was_sampled_is_in_the_file_at_the_end(shim, environ, tmp_path):
    environ(output=tmp_path / "of-%p.pb.gz")
    with running(shim) as done:
        burn(shim, 100)
    assert done.status == AGENT_DONE == shim.raw.agent_state
    profile = decode((tmp_path / f"of-{os.getpid()}.pb.gz").read_bytes())
    assert element_ms(profile) == {"x264enc0": 100.0}
    (stats,) = profile.stats()
    assert stats.final
    assert (stats.pid, stats.program, stats.agent_home) == (os.getpid(), "fake", "embedded")
    assert (stats.total_weight, stats.named_weight) == (10, 0)
    assert stats.process_cpu_s == pytest.approx(0.1)
    assert stats.counters["dropped_ring_full"] == 0
    assert list(tmp_path.glob("*.part")) == []


def test_the_file_is_there_before_the_end(shim, environ, tmp_path):
    path = tmp_path / "out.pb.gz"
    environ(output=path, upload_interval=0.1)
    with running(shim):
        burn(shim, 50)
        wait_for(path.exists)
        stats = decode(path.read_bytes()).stats()[0]
        assert not stats.final


def test_windows_are_delivered_while_the_host_runs_and_add_up(shim, environ):
    merge = Merge()
    environ(upload_interval=0.1)
    with running(shim, "controller", merge):
        burn(shim, 100, "first")
        wait_for(lambda: merge.profile().samples)
        burn(shim, 50, "second")
    assert [one.final for one in merge.stats()] == [True]
    assert element_ms(merge.profile()) == {"first": 100.0, "second": 50.0}


@pytest.mark.parametrize(
    ("settings", "places"),
    [
        ({}, "http://localhost:4040"),
        ({"server_url": "http://127.0.0.1:9"}, "http://127.0.0.1:9"),
        ({"output": "/nowhere/x.pb.gz"}, "/nowhere/x.pb.gz"),
        (
            {"output": "/nowhere/x.pb.gz", "server_url": "http://127.0.0.1:9"},
            "/nowhere/x.pb.gz, http://127.0.0.1:9",
        ),
    ],
)
def test_profiles_go_where_the_settings_say(shim, environ, settings, places):
    environ(log_level="error", **settings)
    with running(shim):
        pass
    (line,) = [line for line in shim.log_lines() if "profiles go to" in line]
    assert line == f"4agent's home: embedded; profiles go to {places}"


@pytest.mark.parametrize(
    ("settings", "places"),
    [
        ({}, "the controller"),
        (
            {"server_url": "http://u:secret@127.0.0.1:9"},
            "the controller, http://***@127.0.0.1:9",
        ),
    ],
)
def test_a_controller_takes_the_place_of_the_default_server(shim, environ, settings, places):
    environ(log_level="error", **settings)
    with running(shim, "controller", Merge()):
        pass
    (line,) = [line for line in shim.log_lines() if "profiles go to" in line]
    assert line == f"4agent's home: controller; profiles go to {places}"


def test_wrong_settings_are_one_line_and_the_agents_state_is_refused(shim, environ, capfd):
    environ(sample_rate="fast")
    with running(shim) as done:
        pass
    assert shim.raw.agent_state == AGENT_REFUSED
    assert done.status not in {0, AGENT_DONE}
    (line,) = capfd.readouterr().err.splitlines()
    assert re.match(
        r"gst-pyro: .*GST_PYROSCOPE_SAMPLE_RATE.*fast.*1000\. Correct it, .*Not profiling\.$", line
    )


def test_tracer_parameters_count(environ, capfd):
    with FakeShim(params=b"upload-interval\0soon\0\0") as shim:
        assert start.run(shim.fd) != 0
    assert "upload-interval" in capfd.readouterr().err


def test_a_descriptor_of_something_else_is_one_line(capfd, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"x")
    with path.open() as file:
        assert start.run(file.fileno()) != 0
    assert capfd.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), RuntimeError("no thread")])
def test_native_profiling_goes_on_where_python_cannot_be_listened_to(
    shim, environ, tmp_path, monkeypatch, error
):
    tries = []

    def refuse(*_):
        tries.append(1)
        raise error

    monkeypatch.setattr("gst_pyro_shim.python.samples.Collector", refuse)
    environ(output=tmp_path / "out.pb.gz", upload_interval=0.1)
    shim.raw.python_state = 1
    with running(shim, "process"):
        burn(shim, 50)
        wait_for((tmp_path / "out.pb.gz").exists)
    assert element_ms(decode((tmp_path / "out.pb.gz").read_bytes())) == {"x264enc0": 50.0}
    (line,) = [line for line in shim.log_lines() if "Python functions are not profiled: " in line]
    assert str(error) in line
    assert len(tries) == 1


def test_a_file_that_cannot_be_written_is_logged_once(shim, environ, capfd):
    environ(output="/nowhere/x.pb.gz", upload_interval=0.1)
    with running(shim):
        wait_for(lambda: shim.raw.close_done >= 3)
    assert capfd.readouterr().err.count("cannot write the profile to /nowhere/x.pb.gz") == 1


def test_the_log_has_settings_home_first_sample_and_totals_without_secrets(shim, environ, capfd):
    environ(bearer_token="hush", server_url="http://127.0.0.1:9", log_level="error")
    with running(shim):
        burn(shim, 50)
        wait_for(lambda: any("first sample" in line for line in shim.log_lines()))
    log = "\n".join(shim.log_lines())
    assert "hush" not in log
    assert "bearer_token=***" in log
    assert "agent's home: embedded" in log
    assert re.search(r"done: 0\.050 s of CPU in .* s, 5 samples, 0\.0 % named", log)
    assert capfd.readouterr().err == ""


def test_the_log_moves_no_cursor(capfd):
    Log()("warning", "a\x1b[2J\nb\x9b31m")
    assert capfd.readouterr().err == "gst-pyro: a\\x1b[2J b\\x9b31m\n"


def test_a_poller_that_is_stuck_does_not_stop_the_windows(environ, tmp_path):
    path = tmp_path / "out.pb.gz"
    environ(output=path, upload_interval=0.1)
    with FakeShim() as shim, running(shim):
        burn(shim, 50)
        wait_for(path.exists)
        assert element_ms(decode(path.read_bytes())) == {"x264enc0": 50.0}
