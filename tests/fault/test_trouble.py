# SPDX-License-Identifier: MIT
"""What goes wrong around us is said in one clear line, and the host goes on.

Context: tests.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gst_pyro_shim import paths
from tests.support.hosts import (
    HOMES,
    SYSTEM_PYTHON,
    Done,
    clean_environment,
    compile_host,
    end_of,
    environment,
    gst_launch,
    profile,
    report,
    run,
)
from tests.support.pyroscope_server import Fault, PyroscopeServer, make_certificate
from tests.support.waiting import one_of, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.fault]

# A second is what we may take; the rest is the process's own end.
EXIT_S = 1.0 + 0.4
SHORT = gst_launch("videotestsrc num-buffers=30 ! fakesink")


@pytest.fixture(scope="module")
def plays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_host("plays.c", tmp_path_factory.mktemp("plays"))


def is_in_time(done: Done) -> bool:
    return done.wall_s < EXIT_S


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("GST_PYROSCOPE_SAMPLE_RATE", "0", "1"),
        ("GST_PYROSCOPE_SAMPLE_RATE", "fast", "1000"),
        ("GST_PYROSCOPE_SERVER_URL", "localhost", "http"),
        ("GST_PYROSCOPE_TAGS", "novalue", "k"),
        ("GST_PYROSCOPE_AGENT", "somewhere", "embedded"),
        ("GST_PYROSCOPE_STOP_AGENT_ON_DISPOSE", "maybe", "true"),
        ("GST_PYROSCOPE_UPLOAD_INTERVAL", "-1", ""),
    ],
)
@pytest.mark.parametrize("home", HOMES)
def test_wrong_setting_is_named_and_the_pipeline_runs(
    home: str, variable: str, value: str, allowed: str
) -> None:
    env = environment("preload", home) | {variable: value}
    done = run(SHORT, env)
    assert (done.status, done.out) == (0, "")
    lines = done.err.splitlines()
    assert len(lines) <= 2, done.err
    assert lines[0].startswith("gst-pyro: ")
    assert variable in done.err
    assert f"'{value}'" in done.err
    assert allowed in done.err


def test_wrong_tracer_parameter_is_named() -> None:
    env = environment("plugin") | {"GST_TRACERS": "pyroscope(sample-rate=5000)"}
    done = run(SHORT, env)
    assert done.status == 0
    assert "sample-rate" in done.err
    assert "5000" in done.err


def test_unreadable_tracer_parameters_are_named() -> None:
    env = environment("plugin") | {"GST_TRACERS": "pyroscope(server-url=,,=)"}
    done = run(SHORT, env)
    assert done.status == 0
    assert "GST_TRACERS" in done.err


def test_tracer_parameters_beat_the_environment(tmp_path: Path) -> None:
    with PyroscopeServer() as server:
        env = environment("plugin", server_url="http://127.0.0.1:9", tracer_name="environment")
        env["GST_TRACERS"] = (
            f'pyroscope(flags=element,server-url="{server.url}",tracer-name=parameter,sample-rate=50,'
            'tags="env=dev,team=a b")'
        )
        done = run(SHORT, env)
        assert (done.status, done.err) == (0, "")
        wait_for(server.stored)
        labels = [dict(stored.labels) for stored in server.stored()]
    assert labels
    for found in labels:
        assert found["service_name"] == "parameter"
        assert (found["env"], found["team"]) == ("dev", "a b")


@pytest.mark.parametrize("home", HOMES)
@pytest.mark.parametrize(
    "trouble", ["absent", "unreachable", "refusing", "hanging", "silent", "garbage", "another"]
)
def test_dead_server_delays_the_exit_by_a_second_at_most(
    plays: Path, home: str, trouble: str, tmp_path: Path
) -> None:
    faults = {
        "refusing": Fault(status=500, body='{"code":"unknown","message":"no"}'),
        "hanging": Fault(hang=True),
        "silent": Fault(close=True),
        "garbage": Fault(raw=b"\x00\x01garbage\r\n\r\n"),
        "another": Fault(raw=b"220 mail.example.com ESMTP\r\n"),
    }
    with PyroscopeServer() as server:
        server.always = faults.get(trouble)
        url = {
            "absent": f"http://127.0.0.1:{unused_port()}",
            "unreachable": "http://192.0.2.1:4040",  # TEST-NET-1
        }.get(trouble, server.url)
        env = environment("preload", home, server_url=url, spool_dir=str(tmp_path / "spool"))

        def spooled() -> list[Path]:
            return [path for path in (tmp_path / "spool").rglob("*") if path.is_file()]

        # Nothing is lost: what was not delivered waits in the spool, private to the user.
        done = one_of(
            lambda: end_of(plays, env, tmp_path), lambda done: is_in_time(done) and spooled()
        )
    assert done.status == 0
    assert len(done.err.splitlines()) <= 2, done.err
    assert all(path.stat().st_mode & 0o077 == 0 for path in spooled())


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_host("late.c", tmp_path_factory.mktemp("late"), "-shared", "-fPIC")


@pytest.mark.parametrize("home", HOMES)
def test_late_agent_of_a_short_run(late: Path, home: str, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nsleep 2\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    output = tmp_path / "x.pb.gz"
    env = environment("preload", home, output=str(output))
    env["LD_PRELOAD"] = f"{late}:{env['LD_PRELOAD']}"
    if home == "process":
        env["GST_PYROSCOPE_PYTHON"] = str(python)
    # On a machine that is busy beyond measure it is later than the five seconds that it has.
    done = one_of(lambda: run(SHORT, env), lambda done: "lost" not in done.err)
    assert done.status == 0
    wait_for(output.exists)
    assert report(output).self_s("videotestsrc0") > 0


def test_what_a_late_agent_loses_is_said(late: Path, plays: Path, tmp_path: Path) -> None:
    env = environment("preload", "embedded", server_url=f"http://127.0.0.1:{unused_port()}")
    env["LD_PRELOAD"] = f"{late}:{env['LD_PRELOAD']}"
    done = one_of(lambda: end_of(plays, env, tmp_path, play_ms=100), is_in_time)
    assert done.status == 0
    assert done.err.count("gst-pyro: the program ended before the agent in it was done") == 1
    assert "GST_PYROSCOPE_AGENT=process" in done.err


def unused_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("home", HOMES)
def test_final_profile_arrives_over_https(plays: Path, home: str, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    with PyroscopeServer(certificate=certificate) as server:
        env = environment("preload", home, server_url=server.url, spool_dir="")
        env["SSL_CERT_FILE"] = str(certificate)
        done = one_of(
            lambda: end_of(plays, env, tmp_path),
            lambda done: is_in_time(done) and server.stored() and not done.err,
        )
    assert done.status == 0


@pytest.mark.parametrize("home", HOMES)
def test_unwritable_home_and_cache(home: str, tmp_path: Path) -> None:
    env = environment("preload", home, server_url=f"http://127.0.0.1:{unused_port()}")
    env |= dict.fromkeys(
        ("HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"), "/proc/no/such"
    )
    env |= {"GST_REGISTRY": "/proc/no/such/registry.bin", "TMPDIR": str(tmp_path)}
    done = run(SHORT, env, cwd=tmp_path)
    assert done.status == 0
    assert done.err.count("gst-pyro: ") >= 1
    assert "/proc/no/such" in done.err
    assert "Traceback" not in done.err


def test_registry_that_may_not_be_updated(tmp_path: Path) -> None:
    env = environment("none") | {"GST_REGISTRY": str(tmp_path / "registry.bin")}
    assert run(SHORT, env).status == 0  # the registry knows no plugin of ours
    env |= environment("preload", output=str(tmp_path / "x.pb.gz"))
    env |= {"GST_REGISTRY": str(tmp_path / "registry.bin"), "GST_REGISTRY_UPDATE": "no"}
    done = run(SHORT, env)
    assert (done.status, done.out) == (0, "")
    # Newer GStreamers have a word on it as well.
    assert (
        "gst-pyro: no profile: GStreamer did not load the tracer. GST_REGISTRY_UPDATE=no"
        in done.err
    )


def test_program_that_sets_its_own_tracers(tmp_path: Path) -> None:
    script = (
        "import gi, os\n"
        "os.environ['GST_TRACERS'] = 'leaks'\n"
        "gi.require_version('Gst', '1.0')\n"
        "from gi.repository import Gst\n"
        "Gst.init(None)\n"
    )
    env = environment("preload", output=str(tmp_path / "x.pb.gz"))
    done = run([SYSTEM_PYTHON, "-c", script], env)
    assert done.status == 0
    assert "did not load the tracer. The program has set GST_TRACERS itself" in done.err, done.err


def test_forked_children_do_not_say_it_again(tmp_path: Path) -> None:
    """A program that tests itself in a child a test, as GStreamer's own do."""
    script = (
        "import gi, os, sys\n"
        "gi.require_version('Gst', '1.0')\n"
        "from gi.repository import Gst\n"
        "Gst.init(None)\n"
        "for _ in range(3):\n"
        "    child = os.fork()\n"
        "    if child == 0: sys.exit(0)\n"
        "    os.waitpid(child, 0)\n"
    )
    env = environment("none") | {"GST_REGISTRY": str(tmp_path / "registry.bin")}
    assert run(SHORT, env).status == 0
    env |= environment("preload", output=str(tmp_path / "x.pb.gz"))
    env |= {"GST_REGISTRY": str(tmp_path / "registry.bin"), "GST_REGISTRY_UPDATE": "no"}
    done = run([SYSTEM_PYTHON, "-c", script], env)
    assert (done.status, done.err.count("gst-pyro: no profile")) == (0, 1), done.err


def _controlled(*words: str, **more: str) -> Done:
    return run([sys.executable, "-m", "gst_pyro_shim", "run", *words], clean_environment() | more)


@pytest.mark.parametrize("signals", [["6"], ["11"], ["9"], []])
@pytest.mark.parametrize("play_ms", ["0", "1000"])
def test_under_run_a_host_that_dies_without_exit_handlers_loses_nothing(
    play_ms: str, signals: list[str], tmp_path: Path
) -> None:
    host = [str(compile_host("dies.c", tmp_path)), play_ms, *signals]
    output = tmp_path / "x.pb.gz"
    done = _controlled("-o", str(output), "--", *host)
    assert done.status == (-int(signals[0]) if signals else 5)
    found = report(output)
    assert found.data["processes"][0]["program"] == "dies"
    assert found.data["accounted_cpu_s"] > 0
    assert "The process ended abruptly" in done.err
    if play_ms != "0":
        assert found.self_s("videotestsrc0") > 0


def test_under_run_the_controller_is_the_agent_of_a_whole_tree(tmp_path: Path) -> None:
    """One after the other, at once, by exec, and one that ends after the shell."""
    launch = " ".join(SHORT)
    script = f"{launch}; ({launch}) & {launch} & wait; sh -c 'exec {launch}'; ({launch}) &"
    output = tmp_path / "x.pb.gz"
    done = _controlled("-o", str(output), "--", "sh", "-c", script)
    assert done.status == 0
    assert f"agent {'':11}" in done.err
    found = report(output)
    assert [one["program"] for one in found.data["processes"]] == ["gst-launch-1.0"] * 5
    assert found.elements["/pipeline0/videotestsrc0"]["threads"] == 10  # of each the main one, too
    assert found.data["accounted_cpu_s"] == pytest.approx(found.data["process_cpu_s"], rel=0.02)
    assert not [line for line in done.err.splitlines() if line.startswith("gst-pyro: ")]


def test_a_program_that_outlives_run_is_told_up_to_then_and_goes_on(tmp_path: Path) -> None:
    program = compile_host("endless.c", tmp_path)
    output = tmp_path / "x.pb.gz"
    script = f"{program} > {tmp_path}/said 2>&1 & echo $!; sleep 1"
    done = _controlled("-o", str(output), "--", "sh", "-c", script)
    survivor = int(done.out)
    try:
        assert report(output).self_s("source") > 0
        assert "The last moments are missing" in done.err
        assert (tmp_path / "said").read_text() == "playing\n"
        threads = [
            path.read_text().strip() for path in Path(f"/proc/{survivor}/task").glob("*/comm")
        ]
        assert threads
        # The poller has nothing left to do.
        wait_for(lambda: "gst-pyro" not in comms(survivor))
    finally:
        os.kill(survivor, 9)


def comms(pid: int) -> list[str]:
    """Names of a process's threads."""
    return [path.read_text().strip() for path in Path(f"/proc/{pid}/task").glob("*/comm")]


@pytest.mark.parametrize("server", ["set", "not set"])
def test_where_run_is_gone_a_program_goes_on_as_the_user_has_set(
    server: str, tmp_path: Path
) -> None:
    """As in one that `run` has left behind, and that starts others later."""
    env = environment("preload", spool_dir=str(tmp_path / "spool"))
    env["GST_PYROSCOPE_CONTROLLER"] = "gst-pyro-nobody secret"
    with PyroscopeServer() as pyroscope:
        if server == "set":
            env["GST_PYROSCOPE_SERVER_URL"] = pyroscope.url
        done = run(SHORT, env)
        assert (done.status, done.err) == (0, "")
        if server == "set":
            wait_for(pyroscope.stored)
    assert not (tmp_path / "spool").exists() or not list((tmp_path / "spool").rglob("*.pb*"))


@pytest.mark.parametrize("knows", [False, True])
def test_refused_settings_are_not_taken_for_a_program_without_gstreamer(
    *, knows: bool, tmp_path: Path
) -> None:
    registry = {"GST_REGISTRY": str(tmp_path / "registry.bin")}
    if knows:
        assert run(SHORT, environment("preload", output=str(tmp_path / "a")) | registry).status == 0
    done = _controlled(
        "-o", str(tmp_path / "x.pb.gz"), "--", *SHORT, GST_TRACERS="pyroscope(foo=1)", **registry
    )
    assert done.status == 0
    assert "tracer parameter foo is not known" in done.err
    assert "No agent reported: the tracer refused its settings or could not start, or" in done.err
    assert "is no GStreamer program" not in done.err


@pytest.mark.parametrize("home", HOMES)
def test_nonsense_in_the_variables_of_python(home: str, tmp_path: Path) -> None:
    output = tmp_path / "x.pb.gz"
    env = environment("preload", home, output=str(output)) | {
        "PYTHONHOME": "/nonexistent",
        "PYTHONPATH": "/nonexistent:/etc",
        "PYTHONHASHSEED": "x",
        "PYTHONMALLOC": "bogus",
        "PYTHONUTF8": "7",
        "PYTHONSTARTUP": "/etc/passwd",
    }
    done = run(SHORT, env)
    assert (done.status, done.out, done.err) == (0, "", "")
    wait_for(output.exists)


CTYPES_HOST = """
import ctypes, sys
gst = ctypes.CDLL("libgstreamer-1.0.so.0")
gst.gst_init(None, None)
gst.gst_parse_launch.restype = ctypes.c_void_p
pipeline = ctypes.c_void_p(gst.gst_parse_launch(b"videotestsrc num-buffers=50 ! fakesink", None))
gst.gst_element_get_bus.restype = ctypes.c_void_p
bus = ctypes.c_void_p(gst.gst_element_get_bus(pipeline))
gst.gst_element_set_state(pipeline, 4)
gst.gst_bus_timed_pop_filtered.restype = ctypes.c_void_p
assert gst.gst_bus_timed_pop_filtered(bus, ctypes.c_uint64(10**10), 1)
gst.gst_element_set_state(pipeline, 1)
print(sys.version_info[:2] > (3, 0), sorted(name for name in sys.modules if "pyro" in name or "pydantic" in name))
"""


def test_host_with_another_python(tmp_path: Path) -> None:
    """Its interpreter is not the agent's, and it gets none of our modules."""
    others = [
        shutil.which("python3", path=folder) for folder in os.environ["PATH"].split(os.pathsep)
    ]
    other = next(
        (
            one
            for one in others
            if one and os.path.realpath(one) != os.path.realpath(sys.executable)
        ),
        None,
    )
    if other is None:
        pytest.skip("no other Python on PATH")
    done, report = profile([other, "-c", CTYPES_HOST], tmp_path)
    assert (done.status, done.out, done.err) == (0, "True []\n", "")
    assert "/pipeline0/videotestsrc0" in report.elements


@pytest.mark.slow
def test_host_with_pydantic_1(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([SYSTEM_PYTHON, "-m", "venv", "--system-site-packages", str(venv)], check=True)
    pip = [str(venv / "bin" / "pip"), "install", "--quiet", "pydantic==1.10.24"]
    subprocess.run(pip, check=True, env=clean_environment())
    script = "import pydantic\n" + CTYPES_HOST + "print(pydantic.VERSION)\n"
    done, report = profile([str(venv / "bin" / "python"), "-c", script], tmp_path)
    assert done.status == 0, done.err
    assert done.out.endswith("1.10.24\n")
    assert report.data["samples"] >= 0


def test_python_of_the_agent_is_gone(tmp_path: Path) -> None:
    env = environment("preload", "process") | {"GST_PYROSCOPE_PYTHON": "/nonexistent/python"}
    done = run(SHORT, env)
    assert (done.status, done.out) == (0, "")
    assert "/nonexistent/python" in done.err


# As pid 1 of a container is: what its descendants leave behind becomes its child, and stays a zombie until it reaps it.
TAKES_ORPHANS = """
import ctypes, os, sys, time
PR_SET_CHILD_SUBREAPER = 36
assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
import gi
gi.require_version("Gst", "1.0")
from gi.repository import Gst
Gst.init(None)
ended = None
while ended is None:
    try:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
    except ChildProcessError:
        time.sleep(0.01)  # the agent is not started yet
sys.stdin.read()  # until it was told of by the shim
print(ended.si_status, os.waitpid(-1, 0)[0] == ended.si_pid)
"""


def test_an_agent_that_is_the_hosts_to_reap_is_missed_when_it_ends(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 3\n")
    python.chmod(0o755)
    env = environment("preload", "process") | {"GST_PYROSCOPE_PYTHON": str(python)}
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(
        [SYSTEM_PYTHON, "-c", TAKES_ORPHANS], env=env, text=True, **pipes
    ) as host:
        assert "gst-pyro: the agent ended early" in host.stderr.readline()
        out, err = host.communicate(timeout=60)
    assert (host.returncode, out) == (0, "3 True\n")
    assert "gst-pyro: the agent ended early" not in err


def test_scanner_and_inspector_stay_as_they_are() -> None:
    env = environment("plugin")
    done = run(["gst-inspect-1.0", "pyro"], {**env, "GST_TRACERS": ""})
    assert done.status == 0
    assert "pyroscope (GstTracerFactory)" in done.out
    assert done.err == ""


def test_secrets_appear_in_no_log(tmp_path: Path) -> None:
    secret = "hunter2-token"
    with PyroscopeServer() as server:
        env = environment("preload", server_url=server.url, bearer_token=secret, log_level="debug")
        env |= {"GST_DEBUG": "pyroscope:7,GST_TRACER:7", "GST_DEBUG_NO_COLOR": "1"}
        done = run(SHORT, env)
        wait_for(lambda: server.requests)
        assert any(
            f"Bearer {secret}" in json.dumps(dict(request.headers)) for request in server.requests
        )
    assert done.status == 0
    assert "pyroscope" in done.err
    assert secret not in done.err
    assert paths.shim_path().exists()
