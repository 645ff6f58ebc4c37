# SPDX-License-Identifier: MIT
"""Which host gets which home for its agent, and what it has of it: docs/homes.md.

Context: tests.
"""

from __future__ import annotations

import os
import platform
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.hosts import (
    clean_environment,
    compile_host,
    compile_plugin,
    core_plugins,
    environment,
    gst_launch,
    report,
    run,
)
from tests.support.pyroscope_server import PyroscopeServer
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.fault]

SHORT = gst_launch("fakesrc num-buffers=10 ! fakesink")
# Of clone(): threads are made by clone3().
CLONE = {"x86_64": 56, "aarch64": 220}


def agents_of(apart: dict[str, str]) -> list[Path]:
    """Their folders in /proc."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            is_agent = b"from gst_pyro_shim.agent import hosts" in (folder / "cmdline").read_bytes()
            if is_agent and f"HOME={apart['HOME']}\0".encode() in (folder / "environ").read_bytes():
                found.append(folder)
        except OSError:
            continue
    return found


@pytest.fixture
def apart(tmp_path: Path) -> dict[str, str]:
    """What makes an agent of this test's own: others share theirs."""
    home = tmp_path / "home"
    home.mkdir()
    return {"HOME": str(home), "GST_REGISTRY": str(tmp_path / "registry.bin")}


@pytest.fixture
def no_python(tmp_path: Path) -> dict[str, str]:
    """A registry in which no plugin needs a Python."""
    return {
        "GST_PLUGIN_SYSTEM_PATH_1_0": "",
        "GST_PLUGIN_PATH_1_0": str(core_plugins()),
        "GST_REGISTRY": str(tmp_path / "bare-registry.bin"),
    }


def test_short_programs_share_an_agent_and_none_is_lost(
    apart: dict[str, str], tmp_path: Path
) -> None:
    env = environment("preload", output=str(tmp_path / "%p.pb.gz")) | apart
    for _ in range(8):
        done = run(SHORT, env)
        assert (done.status, done.out, done.err) == (0, "", "")
    wait_for(lambda: len(list(tmp_path.glob("*.pb.gz"))) == 8, 20)
    assert len(agents_of(apart)) == 1
    for path in tmp_path.glob("*.pb.gz"):
        assert report(path).data["accounted_cpu_s"] > 0


def seen_by(server: PyroscopeServer) -> set[tuple[str, str]]:
    """The names of all that a server has, and their tag `n`."""
    labels = [dict(stored.labels) for stored in server.stored()]
    return {(found["service_name"], found["n"]) for found in labels}


def test_each_program_of_a_shared_agent_has_its_own_settings_and_folder(
    apart: dict[str, str], tmp_path: Path
) -> None:
    names = ("one", "two")
    with PyroscopeServer() as server:
        for name in names:
            (tmp_path / name).mkdir()
            env = environment("preload", server_url=server.url, tracer_name=name, tags=f"n={name}")
            env |= {"GST_PYROSCOPE_OUTPUT": "x.pb.gz", **apart}
            assert run(SHORT, env, cwd=tmp_path / name).status == 0
        wait_for(lambda: seen_by(server) == {(name, name) for name in names}, 20)
    for name in names:
        wait_for((tmp_path / name / "x.pb.gz").exists)


def test_wrong_settings_are_said_where_they_are_wrong(
    apart: dict[str, str], tmp_path: Path
) -> None:
    """On the stderr of the program that has them, whoever has started the agent."""
    env = environment("preload", output=str(tmp_path / "x.pb.gz")) | apart
    assert run(SHORT, env).status == 0
    done = run(SHORT, env | {"GST_PYROSCOPE_TAGS": "novalue"})
    assert done.status == 0
    assert done.err.count("\n") == 1
    assert "GST_PYROSCOPE_TAGS='novalue' is not allowed" in done.err


def test_an_agent_that_lingers_holds_nothing_of_its_first_program(
    apart: dict[str, str], tmp_path: Path
) -> None:
    env = environment("preload", output=str(tmp_path / "x.pb.gz")) | apart
    with subprocess.Popen(SHORT, env=env, stderr=subprocess.PIPE, cwd=tmp_path) as host:
        assert host.stderr is not None
        assert host.stderr.read() == b""  # its end comes, although the agent stays
        assert host.wait() == 0
    (agent,) = agents_of(apart)
    wait_for(lambda: (agent / "cwd").readlink() == Path("/"))
    assert (agent / "fd" / "2").readlink() == Path(os.devnull)
    wait_for(lambda: not agents_of(apart), 20, "it lingers for ever")


@pytest.mark.parametrize("play_ms", [20, 2000])
def test_a_file_is_waited_for_by_a_program_that_has_run_for_a_while(
    play_ms: int, apart: dict[str, str], tmp_path: Path
) -> None:
    """A tenth of its time, at most; what takes longer comes later."""
    program = compile_host("plays.c", tmp_path)
    output = tmp_path / "x.pb.gz"
    env = environment("preload", output=str(output)) | apart
    with subprocess.Popen([str(program), str(play_ms)], env=env, stdout=subprocess.PIPE) as host:
        assert host.stdout is not None
        last_ns = int(host.stdout.readline())
        assert host.wait(30) == 0
        took_s = time.monotonic() - last_ns / 1e9
    # The rest is this machine's.
    assert took_s < play_ms / 10_000 + 1.0
    wait_for(output.exists)


def test_a_program_that_takes_orphans_sees_no_child_of_ours(
    no_python: dict[str, str], tmp_path: Path
) -> None:
    program = compile_host("reaps.c", tmp_path)
    alone = run([str(program)], clean_environment())
    output = tmp_path / "x.pb.gz"
    env = environment("preload", output=str(output)) | no_python | {"HOME": str(tmp_path)}
    done = run([str(program)], env)
    assert (
        (done.status, done.out, done.err) == (0, alone.out, "") == (0, "No child processes\n", "")
    )
    assert output.exists()


@pytest.mark.parametrize("plugins", ["none needs Python", "one does"])
def test_where_no_process_can_be_started_the_agent_comes_in_or_stays_out(
    plugins: str, no_python: dict[str, str], tmp_path: Path
) -> None:
    if platform.machine() not in CLONE:
        pytest.skip("the numbers of this machine's system calls are not known here")
    denied = compile_host("denied.c", tmp_path)
    play = gst_launch("fakesrc num-buffers=1000 ! fakesink")
    if run([str(denied), "9999", "/bin/true"], clean_environment()).status == 77:
        pytest.skip("system calls cannot be filtered here")
    output = tmp_path / "x.pb.gz"
    env = environment("preload", output=str(output)) | no_python | {"HOME": str(tmp_path)}
    if plugins == "one does":
        folder = tmp_path / "plugins"
        folder.mkdir()
        source = tmp_path / "needs.c"
        source.write_text("int nothing;\n")
        needed = tmp_path / "libpython3.99.so"
        subprocess.run(
            ["cc", "-shared", "-Wl,-soname,libpython3.99.so", "-o", str(needed), str(source)],
            check=True,
        )
        between = tmp_path / "libbetween.so"
        link = ["cc", "-shared", "-Wl,--no-as-needed", f"-Wl,-rpath,{tmp_path}"]
        subprocess.run([*link, "-o", str(between), str(source), str(needed)], check=True)
        compile_plugin("gstcpuburn.c", folder, "-Wl,--no-as-needed", str(between))
        env["GST_PLUGIN_PATH_1_0"] += f":{folder}"
        env["LD_LIBRARY_PATH"] = str(tmp_path)
    before = env | {"GST_PYROSCOPE_OUTPUT": str(tmp_path / "before.pb.gz"), "HOME": "/"}
    assert run(play, before).status == 0  # GStreamer's registry is there, which takes a fork
    done = run([str(denied), str(CLONE[platform.machine()]), *play], env)
    assert (done.status, done.out) == (0, "")
    if plugins == "one does":
        assert "no agent, nothing is profiled: cannot fork: Operation not permitted" in done.err
    else:
        assert done.err == ""
        assert report(output).data["accounted_cpu_s"] > 0
