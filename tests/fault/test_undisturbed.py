# SPDX-License-Identifier: MIT
"""The host behaves with us as without us: output, exit status, signals, masks, locale, environment, children.

Context: tests.
"""

from __future__ import annotations

import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from gst_pyro_shim import paths
from tests.support.hosts import (
    HOMES,
    SYSTEM_PYTHON,
    WAYS,
    AgentLog,
    Done,
    clean_environment,
    compile_host,
    environment,
    gst_launch,
    profile,
    report,
    run,
)
from tests.support.waiting import one_of, wait_for

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.fault]

# The sampling signal; and the two that an embedded agent catches where nobody else does, to deliver the last window.
LEAVE_OUT = {"process": f",{int(signal.SIGURG)},", "embedded": ",23,2,15,"}
EXIT_S = 1.5
ENDS = ("exit", "_exit", "abort", "return")


@pytest.fixture(scope="module")
def behaves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_host("behaves.c", tmp_path_factory.mktemp("behaves"))


def run_behaves(
    program: Path, tmp_path: Path, way: str, home: str, monkeypatch: pytest.MonkeyPatch
) -> Done:
    monkeypatch.setenv("LEAVE_OUT", LEAVE_OUT[home])
    if way == "none":
        return run([str(program)], clean_environment())
    return profile([str(program)], tmp_path, way=way, home=home)[0]


@pytest.mark.parametrize("home", HOMES)
@pytest.mark.parametrize("way", WAYS)
def test_c_host_prints_the_same(
    behaves: Path, tmp_path: Path, way: str, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = run_behaves(behaves, tmp_path, "none", home, monkeypatch)
    with_us = run_behaves(behaves, tmp_path, way, home, monkeypatch)
    assert "message: eos" in alone.out
    assert with_us.out == alone.out
    assert with_us.status == alone.status == 5


@pytest.mark.parametrize("home", HOMES)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_terminated_host_dies_of_the_signal_and_its_profile_arrives(
    home: str, number: signal.Signals, tmp_path: Path
) -> None:
    output = tmp_path / "killed.pb.gz"
    program = compile_host("endless.c", tmp_path)

    def end_s() -> float:
        output.unlink(missing_ok=True)
        log = AgentLog(tmp_path / "agent.log")
        log.file.unlink(missing_ok=True)
        with subprocess.Popen(
            [str(program)],
            env=environment("preload", home, output=str(output)) | log.variables,
            stdout=subprocess.PIPE,
            text=True,
        ) as host:
            assert host.stdout is not None
            assert host.stdout.readline() == "playing\n"
            log.wait_for_sample()
            start = time.monotonic()
            host.send_signal(number)
            status = host.wait(60)
            took = time.monotonic() - start
        assert status == -number
        return took

    if number == signal.SIGKILL and home == "embedded":
        end_s()
        return  # an agent inside the host dies with it: said in README, Limits
    one_of(end_s, lambda took: took < EXIT_S)
    wait_for(output.exists)
    assert report(output).self_s("source") > 0


def test_signals_that_the_host_takes_while_an_agent_comes_up_are_its_own(
    tmp_path: Path,
) -> None:
    plays = compile_host("plays.c", tmp_path)
    taker = compile_host("takes_signals.c", tmp_path, "-shared", "-fPIC")
    env = environment("preload", "embedded", output=str(tmp_path / "x.pb.gz"))
    env["LD_PRELOAD"] = f"{taker}:{env['LD_PRELOAD']}"
    done = run([str(plays), "1000"], env)
    assert done.status == 0
    assert "signals kept" in done.err


@pytest.mark.parametrize("way", ["none", "preload", "plugin"])
@pytest.mark.parametrize("function", ["sigwait", "sigwaitinfo", "sigtimedwait"])
def test_host_that_waits_for_any_signal_is_handed_its_own_only(
    function: str, way: str, tmp_path: Path
) -> None:
    """Ticks that fell due while it had them blocked are not told."""
    program = compile_host("waits_for_signals.c", tmp_path)
    env = environment(way, "process", output=str(tmp_path / "x.pb.gz"))
    done = run([str(program), function], env)
    expected = [str(int(signal.SIGUSR2)), str(int(signal.SIGPWR)), "none"]
    assert (done.status, done.out.split()) == (5, expected)


def test_keyboard_interrupt_reaches_python(tmp_path: Path) -> None:
    script = (
        "import gi, os, signal, time\n"
        "gi.require_version('Gst', '1.0')\n"
        "from gi.repository import Gst\n"
        "Gst.init(None)\n"
        "time.sleep(0.5)\n"
        "try:\n"
        "    os.kill(os.getpid(), signal.SIGINT); time.sleep(5)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
        "print(signal.getsignal(signal.SIGINT) is signal.default_int_handler, signal.getsignal(signal.SIGTERM))\n"
    )
    for way in ("none", "preload", "plugin"):
        done = run(
            [SYSTEM_PYTHON, "-c", script], environment(way, output=str(tmp_path / f"{way}.pb.gz"))
        )
        assert (done.status, done.err) == (0, "")
        assert done.out == "interrupted\nTrue 0\n"


@pytest.mark.parametrize("home", HOMES)
def test_pipeline_that_errors_out(home: str, tmp_path: Path) -> None:
    launch = gst_launch("videotestsrc num-buffers=5 ! filesink location=/nonexistent/file")
    alone = run(launch, clean_environment())
    done, _ = profile(launch, tmp_path, home=home)
    assert done.status == alone.status != 0
    assert done.err.splitlines()[0] == alone.err.splitlines()[0]


def test_children_that_are_no_gstreamer_programs_are_left_alone(tmp_path: Path) -> None:
    """Nothing but the two variables that GStreamer reads, once, however deep."""
    script = "env; sh -c env; ls / > /dev/null"
    alone = run(["sh", "-c", script], clean_environment())
    done = run(["sh", "-c", script], environment("preload", output=str(tmp_path / "x.pb.gz")))

    def others(text: str) -> list[str]:
        ours = ("GST_PYROSCOPE", "GST_TRACERS", "GST_PLUGIN_PATH", "LD_PRELOAD", "_=")
        return [line for line in text.splitlines() if not line.startswith(ours)]

    assert others(done.out) == others(alone.out)
    assert done.err == ""
    assert done.out.count("GST_TRACERS=pyroscope\n") == 2
    assert done.out.count(f"GST_PLUGIN_PATH={paths.plugin_dir()}\n") == 2
    assert not (tmp_path / "x.pb.gz").exists()


def test_existing_values_are_kept(tmp_path: Path) -> None:
    env = environment("preload", output=str(tmp_path / "x.pb.gz"))
    env |= {
        "GST_TRACERS": "leaks;stats",
        "GST_PLUGIN_PATH_1_0": "/somewhere",
        "GST_PLUGIN_PATH": "/other",
    }
    done = run(["sh", "-c", "echo $GST_TRACERS $GST_PLUGIN_PATH_1_0 $GST_PLUGIN_PATH"], env)
    assert done.out == f"leaks;stats;pyroscope /somewhere:{paths.plugin_dir()} /other\n"


@pytest.mark.parametrize("way", ["preload", "run"])
def test_list_of_plugins_that_may_be_loaded_has_ours(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is how GStreamer's own tests keep the system's plugins out; it kept the tracer out as well."""
    monkeypatch.setenv("GST_REGISTRY", str(tmp_path / "registry.bin"))
    core_alone = ["env", "GST_PLUGIN_LOADING_WHITELIST=gstreamer"]
    launch = gst_launch("fakesrc num-buffers=100 ! fakesink")
    done, report = profile([*core_alone, *launch], tmp_path, way=way)
    assert (done.status, "no profile" in done.err) == (0, False), done.err
    assert report.self_s("fakesrc0") > 0
    others = gst_launch("videotestsrc num-buffers=1 ! fakesink")
    env = environment("preload", output=str(tmp_path / "others.pb.gz"))
    assert run([*core_alone, *others], env).status != 0


def test_forked_and_executed_children_go_on(tmp_path: Path) -> None:
    script = (
        "import gi, multiprocessing, subprocess, sys\n"
        "gi.require_version('Gst', '1.0')\n"
        "from gi.repository import Gst\n"
        "Gst.init(None)\n"
        "def child(queue):\n"
        "    p = Gst.parse_launch('fakesrc num-buffers=10 ! fakesink'); p.set_state(Gst.State.PLAYING)\n"
        "    m = p.get_bus().timed_pop_filtered(50 * Gst.SECOND, Gst.MessageType.EOS)\n"
        "    p.set_state(Gst.State.NULL); queue.put(m is not None)\n"
        "context = multiprocessing.get_context('fork')\n"
        "queue = context.Queue(); one = context.Process(target=child, args=(queue,)); one.start()\n"
        "print(queue.get(timeout=50)); one.join(); print(one.exitcode)\n"
        "print(subprocess.run([sys.executable, '-c', 'print(6 * 7)'], capture_output=True, text=True).stdout.strip())\n"
    )
    command = [SYSTEM_PYTHON, "-c", script]
    alone = run(command, clean_environment())
    done, _ = profile(command, tmp_path)
    assert (done.status, done.out) == (alone.status, alone.out) == (0, "True\n0\n42\n")


@pytest.mark.parametrize("seed", range(4))
def test_exits_at_any_moment_keep_their_status(seed: int, tmp_path: Path) -> None:
    """exit() while the embedded agent starts, samples or delivers: twelve moments for each seed."""
    program = compile_host("exits.c", tmp_path)
    env = environment("preload", "embedded", server_url="http://127.0.0.1:9", spool_dir="")
    for moment in range(12):
        delay_ms = (moment * 4 + seed) * 9
        done = run([str(program), str(delay_ms)], env)
        assert done.status == 42, (delay_ms, done.err)


def test_more_descriptors_are_open_only_far_up(tmp_path: Path) -> None:
    """A host that counts on low numbers (select, shells) finds the ones it would have found.

    Looked at for two seconds: the poller and a starting agent have files open for moments.
    """
    script = (
        "import gi, os, time\n"
        "gi.require_version('Gst', '1.0')\n"
        "from gi.repository import Gst\n"
        "Gst.init(None)\n"
        "lowest = []\n"
        "for _ in range(40):\n"
        "    lowest.append(os.open('/dev/null', os.O_RDONLY)); os.close(lowest[-1]); time.sleep(0.05)\n"
        "print(min(lowest))\n"
    )
    command = [SYSTEM_PYTHON, "-c", script]
    alone = run(command, clean_environment())
    done, _ = profile(command, tmp_path)
    assert done.out == alone.out


@pytest.mark.parametrize("home", HOMES)
def test_a_log_function_may_wait_for_who_takes_gstreamer_down(home: str, tmp_path: Path) -> None:
    """gst_deinit() waited for a lock of ours, which was held while the log function ran, for ever."""
    program = compile_host("blocking_log.c", tmp_path)
    env = environment("preload", home, output=str(tmp_path / "x.pb.gz"))
    env["GST_DEBUG"] = "pyroscope:5"
    done = run([str(program), "profiled"], env)
    assert (done.status, done.out) == (5, "down\n"), done.err
