# SPDX-License-Identifier: MIT
"""agent.py, delivery.py: the loop from its first window to its end, with a shim and servers that are made up.

Context: test.
"""

import contextlib
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gst_pyro_shim.agent import start
from gst_pyro_shim.agent.hosts import Agents
from gst_pyro_shim.agent.log import Log
from gst_pyro_shim.agent.reception import Guest
from gst_pyro_shim.pprof.decode import decode
from gst_pyro_shim.pprof.merge import Merge
from gst_pyro_shim.push.delivery import Delivery
from gst_pyro_shim.segment.segment import AGENT_DONE, AGENT_REFUSED, AGENT_RUNNING
from tests.support.fake_shim import FakeShim, label_tag, lib
from tests.support.waiting import Waited, wait_for

MS = 1_000_000


@pytest.fixture
def shim():
    with FakeShim() as fake:
        fake.serve()
        yield fake


@pytest.fixture
def environ(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith("GST_PYROSCOPE_"):
            monkeypatch.delenv(name)

    def put(**settings):
        for name, value in {"spool_dir": str(tmp_path / "spool"), **settings}.items():
            monkeypatch.setenv(f"GST_PYROSCOPE_{name.upper()}", str(value))

    put()
    # A file that cannot stand where it should goes there.
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return put


def guest(shim):
    mine = {name: text for name, text in os.environ.items() if name.startswith("GST_PYROSCOPE_")}
    return Guest(os.getpid(), -1, shim.fd, 2, "", mine)


@contextlib.contextmanager
def running(shim, home="embedded", merge=None):
    """The agent on a thread; what an embedded one returned is `.status` afterwards."""

    def work():
        if home == "embedded":
            thread.status = start.run(shim.fd)
        else:
            thread.agents.serve(guest(shim))

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


def test_the_last_word_knows_what_became_of_the_last_push(shim, environ):
    merge = Merge()
    environ(server_url="http://127.0.0.1:9")
    with running(shim, "controller", merge):
        burn(shim, 100, "first")
    assert [one.counters.get("spooled") for one in merge.stats()] == [1]
    assert element_ms(merge.profile()) == {"first": 100.0}


def test_windows_are_told_while_the_host_runs_and_add_up(shim, environ):
    merge = Merge()
    environ(upload_interval=0.1)
    with running(shim, "controller", merge):
        burn(shim, 100, "first")
        wait_for(lambda: merge.profile().samples)
        burn(shim, 50, "second")
    assert [one.final for one in merge.stats()] == [True]
    assert element_ms(merge.profile()) == {"first": 100.0, "second": 50.0}


def test_who_is_dismissed_has_told_what_its_host_has_done_by_then(shim, environ):
    merge = Merge()
    environ()
    with running(shim, "controller", merge) as thread:
        burn(shim, 100, "first")
        thread.agents.dismiss()
        thread.join(5.0)
        assert not thread.is_alive()
        assert shim.raw.host_state == lib.GP_HOST_RUNNING
    assert shim.raw.agent_state == AGENT_DONE
    (stats,) = merge.stats()
    assert not stats.final
    assert stats.notes == []
    assert element_ms(merge.profile()) == {"first": 100.0}


def test_memory_of_hosts_that_have_ended_is_given_back(environ):
    environ()
    merge = Merge()
    agents = Agents("controller", merge)

    def mapped():
        return Path("/proc/self/maps").read_text(encoding="utf-8").count("memfd:gst-pyro")

    before = mapped()
    for _ in range(5):
        with FakeShim() as shim:
            burn(shim, 10)
            shim.stop()
            agents.serve(guest(shim))
    assert mapped() == before
    assert element_ms(merge.profile()) == {"x264enc0": 50.0}


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
def test_profiles_go_where_somebody_said(shim, environ, settings, places):
    environ(log_level="error", **settings)
    with running(shim):
        pass
    (line,) = [line for line in shim.log_lines() if "delivers to" in line]
    assert line == f"4agent is at home embedded, delivers to {places}"


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
    (line,) = [line for line in shim.log_lines() if "delivers to" in line]
    assert line == f"4agent is at home controller, delivers to {places}"


def test_wrong_settings_are_one_line_and_the_shim_is_told(shim, environ, capfd):
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


def test_an_error_of_our_own_is_one_line_and_the_host_is_let_go(
    shim, environ, capfd, monkeypatch, tmp_path
):
    monkeypatch.setattr("gst_pyro_shim.agent.window.Window.drain", lambda *_, **__: 1 / 0)
    environ(output=tmp_path / "x.pb.gz")
    with running(shim):
        pass
    assert shim.raw.agent_state == AGENT_REFUSED
    err = capfd.readouterr().err
    assert "ZeroDivisionError" in err
    assert err.count("\n") == 1


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


def test_a_file_that_cannot_be_written_is_said_once(shim, environ, capfd):
    environ(output="/nowhere/x.pb.gz", upload_interval=0.1)
    with running(shim):
        wait_for(lambda: shim.raw.close_done >= 3)
    assert capfd.readouterr().err.count("cannot write the profile to /nowhere/x.pb.gz") == 1


def test_the_log_tells_settings_home_first_sample_and_totals_without_secrets(shim, environ, capfd):
    environ(bearer_token="hush", server_url="http://127.0.0.1:9", log_level="error")
    with running(shim):
        burn(shim, 50)
        wait_for(lambda: any("first sample" in line for line in shim.log_lines()))
    log = "\n".join(shim.log_lines())
    assert "hush" not in log
    assert "bearer_token=***" in log
    assert "agent is at home embedded" in log
    assert re.search(r"done: 0\.050 s of CPU in .* s, 5 samples, 0\.0 % named", log)
    assert capfd.readouterr().err == ""


def test_the_log_moves_no_cursor(capfd):
    Log()("warning", "a\x1b[2J\nb\x9b31m")
    assert capfd.readouterr().err == "gst-pyro: a\\x1b[2J b\\x9b31m\n"


@pytest.mark.parametrize("what", ["nobody there", "hangs"])
def test_the_end_waits_less_than_a_second_whatever_the_server_does(shim, environ, what):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:  # listens, and never answers
        port = server.getsockname()[1]
        if what == "nobody there":
            server.close()
        environ(server_url=f"http://127.0.0.1:{port}", upload_interval=0.1, log_level="error")
        with running(shim) as done:
            burn(shim, 50)
            wait_for(lambda: shim.raw.close_done >= 3)
            with Waited() as waited:
                shim.stop()
                done.join(60.0)
            assert waited.seconds < 1.0
    assert shim.raw.agent_state == AGENT_DONE


def test_a_poller_that_is_stuck_does_not_stop_the_windows(environ, tmp_path):
    path = tmp_path / "out.pb.gz"
    environ(output=path, upload_interval=0.1)
    with FakeShim() as shim, running(shim):
        burn(shim, 50)
        wait_for(path.exists)
        assert element_ms(decode(path.read_bytes())) == {"x264enc0": 50.0}


_HOST = """
import os, sys, time
sys.path.insert(0, {root!r})
from tests.support.fake_shim import FakeShim
shim = FakeShim()
slot, label = shim.thread(42, "worker"), shim.element("x264enc0")
shim.account(slot, label, 30_000_000)
shim.record(slot, label, [1])
shim.record(slot, label, [2], state=1)  # the thread died while it wrote
shim.record(slot, label, [3])
os.set_inheritable(shim.fd, True)
child = os.posix_spawn(
    sys.executable,
    [sys.executable, "-c", f"import sys; sys.path.insert(0, {root!r}); "
     "from gst_pyro_shim.agent import hosts; "
     f"sys.exit(hosts.run({{shim.fd}}, {{os.getpid()}}, 'gst-pyro-{{os.getpid()}}'))"],
    os.environ,
)
while shim.raw.agent_state < 2:
    time.sleep(0.01)
print(child, flush=True)
{end}
"""


@pytest.mark.parametrize(
    "end",
    ["os.kill(os.getpid(), 9)", "os.execvp('sleep', ['sleep', '20'])"],
    ids=["killed", "runs another program"],
)
def test_an_agent_in_a_process_of_its_own_delivers_what_a_dead_host_left(environ, tmp_path, end):
    path = tmp_path / "out.pb.gz"
    environ(output=path, upload_interval=0.2)
    root = str(Path.cwd())
    host = subprocess.Popen(
        [sys.executable, "-c", _HOST.format(root=root, end=end)], stdout=subprocess.PIPE, text=True
    )
    try:
        agent_pid = int(host.stdout.readline())

        def has_final():
            return path.exists() and decode(path.read_bytes()).stats()[0].final

        wait_for(has_final)
        profile = decode(path.read_bytes())
        (stats,) = profile.stats()
        assert element_ms(profile) == {"x264enc0": 30.0}
        assert stats.total_weight == 2
        assert stats.counters["dropped_unfinished"] == 1
        assert stats.agent_cpu_s > 0
        assert "without a last word" in stats.notes[0]
        wait_for(lambda: not is_alive(agent_pid))
    finally:
        host.kill()
        host.wait()
        host.stdout.close()


def is_alive(pid):
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        return stat.rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def test_an_error_of_our_own_loses_nothing_that_was_profiled_before(
    shim, environ, capfd, monkeypatch, tmp_path
):
    monkeypatch.setattr("gst_pyro_shim.push.output_file._WRITE_SHARE", 1e-9)
    path = tmp_path / "out.pb.gz"
    # The spool is for what the server, which is not there, has not taken.
    environ(output=path, upload_interval=0.1, server_url="http://127.0.0.1:9")
    given = []
    deliver = Delivery.deliver

    def listened(delivery, profile, *, final):
        deliver(delivery, profile, final=final)
        given.append(sum(one.cpu_ns for one in profile.samples))

    monkeypatch.setattr(Delivery, "deliver", listened)
    with running(shim):
        burn(shim, 100, "first")
        wait_for(path.exists)
        burn(shim, 50, "second")
        wait_for(lambda: sum(given) == 150 * MS)
        monkeypatch.setattr("gst_pyro_shim.agent.window.Window.drain", lambda *_, **__: 1 / 0)
        wait_for(lambda: shim.raw.agent_state == AGENT_REFUSED)
    assert element_ms(decode(path.read_bytes())) == {"first": 100.0, "second": 50.0}
    assert len(list(tmp_path.rglob("*.push"))) == sum(1 for one in given if one)
    assert "ZeroDivisionError" in capfd.readouterr().err
