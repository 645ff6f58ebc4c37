# SPDX-License-Identifier: MIT
"""agent.py, hosts.py: how an agent ends, and that nothing is lost then.

Context: test.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from gst_pyro_shim.agent.hosts import Agents
from gst_pyro_shim.pprof.decode import decode
from gst_pyro_shim.pprof.merge import Merge
from gst_pyro_shim.push.delivery import Delivery
from gst_pyro_shim.segment.segment import AGENT_DONE, AGENT_REFUSED
from tests.support.agent_run import MS, burn, element_ms, handover, running
from tests.support.fake_shim import FakeShim, lib
from tests.support.waiting import Waited, wait_for


def test_the_last_statistics_know_what_became_of_the_last_push(shim, environ):
    merge = Merge()
    environ(server_url="http://127.0.0.1:9")
    with running(shim, "controller", merge):
        burn(shim, 100, "first")
    assert [one.counters.get("spooled") for one in merge.stats()] == [1]
    assert element_ms(merge.profile()) == {"first": 100.0}


def test_an_agent_that_is_dismissed_delivers_what_its_host_has_done_so_far(shim, environ):
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
            agents.serve(handover(shim))
    assert mapped() == before
    assert element_ms(merge.profile()) == {"x264enc0": 50.0}


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


@pytest.mark.parametrize("what", ["refuses", "hangs"])
def test_the_end_waits_less_than_a_second_whatever_the_server_does(shim, environ, what):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:  # listens, and never answers
        port = server.getsockname()[1]
        if what == "refuses":
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


@pytest.mark.slow
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
        assert "ended abruptly" in stats.notes[0]
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
