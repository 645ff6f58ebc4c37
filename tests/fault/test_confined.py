# SPDX-License-Identifier: MIT
"""Hosts that may do little, or that change what they are: they go on as without us, and are profiled as far as it goes.

Context: tests.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gst_pyro_shim import paths
from tests.support.hosts import (
    HOMES,
    Done,
    clean_environment,
    compile_host,
    environment,
    gst_launch,
    profile,
    report,
    run,
)
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.fault]

HOST = gst_launch("videotestsrc num-buffers=60 ! video/x-raw,width=640,height=360 ! fakesink")
# Works for a quarter of a second and more: some of its samples have names.
BUSY = gst_launch("videotestsrc num-buffers=400 ! video/x-raw,width=1280,height=720 ! fakesink")
# perf_event_open, timer_create, memfd_create
NUMBERS = {"x86_64": (298, 222, 319), "aarch64": (241, 107, 279)}


@pytest.fixture(scope="module")
def changes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_host("changes.c", tmp_path_factory.mktemp("changes"))


@pytest.fixture(scope="module")
def denied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = compile_host("denied.c", tmp_path_factory.mktemp("denied"))
    if run([str(program), "9999", "/bin/true"], clean_environment()).status == 77:
        pytest.skip("system calls cannot be filtered here")
    return program


def numbers() -> tuple[int, int, int]:
    if platform.machine() not in NUMBERS:
        pytest.skip("the numbers of this machine's system calls are not known here")
    return NUMBERS[platform.machine()]


@pytest.mark.parametrize("home", HOMES)
def test_without_perf_events_and_timers_accounts_go_on(
    denied: Path, home: str, tmp_path: Path
) -> None:
    perf, timer, _ = numbers()
    done, seen = profile([str(denied), f"{perf},{timer}", *HOST], tmp_path, home=home)
    assert (done.status, done.out, done.err) == (0, "", "")
    assert seen.data["accounted_cpu_s"] > 0
    assert seen.data["samples"] == 0


def test_where_a_perf_event_would_be_the_hosts_end_timers_do(denied: Path, tmp_path: Path) -> None:
    """As under systemd's SystemCallFilter=@system-service."""
    program = compile_host("plays.c", tmp_path)
    done, seen = profile([str(denied), f"!{numbers()[0]}", str(program), "500"], tmp_path)
    assert (done.status, done.err) == (0, "")
    assert seen.data["samples"] > 0


def test_without_shared_memory_one_line_is_said(denied: Path) -> None:
    done = run([str(denied), str(numbers()[2]), *HOST], environment("preload"))
    assert (done.status, done.out) == (0, "")
    assert done.err.startswith("gst-pyro: cannot profile: no shared memory")
    assert len(done.err.splitlines()) == 1, done.err


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="no prlimit here")
@pytest.mark.parametrize("home", HOMES)
@pytest.mark.parametrize("limit", ["--as=150000000", "--as=300000000", "--data=100000000"])
def test_a_host_with_little_address_space_keeps_it(home: str, limit: str) -> None:
    done = run(["prlimit", limit, *HOST], environment("preload", home))
    assert (done.status, done.out) == (0, "")
    assert (
        done.err
        == "gst-pyro: cannot profile: ulimit -v or -d leaves less than 512 MB. Raise that limit\n"
    )


def test_host_that_may_make_small_files_only_runs_on(tmp_path: Path) -> None:
    """Beyond the limit the kernel would end it by SIGXFSZ."""
    program = compile_host("plays.c", tmp_path)
    limited = ["sh", "-c", 'ulimit -f 16384 && exec "$0" 50', str(program)]
    done = run(limited, environment("preload"))
    assert done.status == 0
    assert re.fullmatch(
        r"gst-pyro: cannot profile: ulimit -f allows no file of \d+ MB\. Raise that limit\n",
        done.err,
    )


def test_a_line_that_nobody_reads_is_not_the_hosts_end(tmp_path: Path) -> None:
    """`host 2>&1 | head -1`: stderr is a broken pipe where the shim has something to say on the host's own thread."""
    program = compile_host("plays.c", tmp_path)
    limited = ["sh", "-c", 'ulimit -f 16384 && exec "$0" 50', str(program)]
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        host = subprocess.run(
            limited,
            env=environment("preload"),
            stdout=subprocess.DEVNULL,
            stderr=theirs,
            check=False,
        )
    finally:
        os.close(theirs)
    assert host.returncode == 0


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="no prlimit here")
@pytest.mark.parametrize("limit", ["--sigpending=0", "--nofile=24"])
def test_a_host_with_few_descriptors_or_signals_is_profiled(limit: str, tmp_path: Path) -> None:
    done, seen = profile(["prlimit", limit, *HOST], tmp_path)
    assert (done.status, done.out, done.err) == (0, "", "")
    assert seen.data["accounted_cpu_s"] > 0


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="no prlimit here")
@pytest.mark.parametrize("home", HOMES)
def test_a_host_with_few_descriptors_and_no_standard_input_is_profiled(
    home: str, tmp_path: Path
) -> None:
    """Neither the shared memory nor anything else of ours gets the number 0."""
    host = ["sh", "-c", 'exec prlimit --nofile=24 "$@" <&-', "sh", *HOST]
    done, seen = profile(host, tmp_path, home=home)
    assert (done.status, done.out, done.err) == (0, "", "")
    assert seen.data["accounted_cpu_s"] > 0


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="takes root and setpriv"
)
def test_an_agent_that_cannot_be_forked_has_the_true_reason() -> None:
    """A user of its own, who may have three threads: the host's, the poller, and the first of two forks."""
    user = ["setpriv", "--reuid=54321", "--clear-groups"]
    look = ["gst-inspect-1.0", "--exists", "fakesrc"]
    for path in (paths.shim_path(), Path(sys.executable)):
        if run([*user, "test", "-r", str(path)], clean_environment()).status != 0:
            pytest.skip(f"other users may not read {path}")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        env = environment("preload", "process", output=f"{folder}/x.pb.gz")
        env["GST_REGISTRY"] = f"{folder}/registry"
        assert run(look, env).status == 0
        done = run([*user, "prlimit", "--nproc=3", *look], env)
    assert done.status == 0
    assert "cannot fork: Resource temporarily unavailable" in done.err


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root")
@pytest.mark.parametrize("how", ["setuid", "chroot", "unshare"])
def test_a_host_that_gives_up_rights_is_profiled_by_an_agent_beside_it(
    changes: Path, how: str, tmp_path: Path
) -> None:
    check_changes(changes, "process", how, tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root")
@pytest.mark.parametrize("how", ["setuid", "chroot", "unshare"])
def test_a_host_that_gives_up_rights_goes_on_with_an_agent_inside(changes: Path, how: str) -> None:
    """The agent has no more rights than the host: it may no longer reach its own files."""
    changed_alone(changes, how)
    done = run([str(changes), how], environment("preload", "embedded", output=os.devnull))
    assert (done.status, done.out) == (0, "changed: 0\n")
    assert len(done.err.splitlines()) <= 1, done.err


@pytest.mark.parametrize("home", HOMES)
def test_children_by_vfork_go_their_way(changes: Path, home: str, tmp_path: Path) -> None:
    check_changes(changes, home, "children", tmp_path)


def changed_alone(changes: Path, how: str) -> Done:
    """The host without us; skips where it may not change so, as root of a container."""
    alone = run([str(changes), how], clean_environment())
    assert alone.status == 0
    if alone.out == "changed: -1\n":
        pytest.skip(f"{how} is not permitted here")
    return alone


def check_changes(changes: Path, home: str, how: str, tmp_path: Path) -> None:
    alone = changed_alone(changes, how)
    done, seen = profile([str(changes), how], tmp_path, home=home)
    assert (done.status, done.out, done.err) == (0, alone.out, alone.err)
    assert seen.data["accounted_cpu_s"] > 0


def test_a_host_that_closes_all_descriptors_does_not_wait_for_an_agent_that_cannot_be(
    changes: Path,
) -> None:
    """An agent inside, which needs more than a tenth of a second to come up, finds the shared memory closed."""
    done = run([str(changes), "close"], environment("preload", "embedded", output=os.devnull))
    assert (done.status, done.out) == (0, "changed: 0\n")
    assert len(done.err.splitlines()) == 1, done.err
    assert "descriptor is not open" in done.err


@pytest.mark.parametrize("home", HOMES)
def test_a_host_that_becomes_a_daemon_goes_on(changes: Path, home: str) -> None:
    alone = changed_alone(changes, "daemon")
    done = run([str(changes), "daemon"], environment("preload", home))
    assert (done.status, done.out) == (0, alone.out)
    assert len(done.err.splitlines()) <= 1, done.err


@pytest.mark.parametrize("home", HOMES)
def test_where_the_hosts_stacks_are_limited_ours_are_not(home: str, tmp_path: Path) -> None:
    """libdw needs more than 128 KiB: the host died of it, or its profile was silently nothing."""
    limited = ["sh", "-c", 'ulimit -s 128 && exec "$@"', "sh", *BUSY]
    done, seen = profile(limited, tmp_path, home=home)
    assert (done.status, done.out, done.err) == (0, "", "")
    assert seen.data["samples"] > 0
    assert seen.data["named_fraction"] > 0


@pytest.mark.parametrize("home", HOMES)
def test_where_threads_have_small_stacks_by_default_ours_have_not(
    home: str, tmp_path: Path
) -> None:
    small = compile_host("small_stacks.c", tmp_path, "-shared", "-fPIC")
    output = tmp_path / "x.pb.gz"
    env = environment("preload", home, output=str(output))
    env["LD_PRELOAD"] = f"{small}:{env['LD_PRELOAD']}"
    done = run(BUSY, env)
    assert (done.status, done.out, done.err) == (0, "", "")
    wait_for(output.exists)
    assert report(output).data["named_fraction"] > 0


@pytest.fixture(scope="module")
def registry() -> None:
    """To look for plugins takes more stack than to play."""
    assert run(HOST, environment("preload")).status == 0


@pytest.mark.usefixtures("registry")
def test_where_the_limit_is_too_small_for_an_agent_that_is_said(tmp_path: Path) -> None:
    """A Python that starts all the same is welcome."""
    output = tmp_path / "x.pb.gz"
    limited = ["sh", "-c", 'ulimit -s 32 && exec "$@"', "sh", *BUSY]
    done = run(limited, environment("preload", "process", output=str(output)))
    assert (done.status, done.out) == (0, "")
    if not done.err.startswith("gst-pyro: the agent ended early"):
        wait_for(output.exists, what=done.err)


@pytest.mark.usefixtures("registry")
def test_a_limit_that_is_the_hosts_own_choice_is_not_the_agents(tmp_path: Path) -> None:
    limited = ["sh", "-c", 'ulimit -S -s 32 && exec "$@"', "sh", *BUSY]
    done, seen = profile(limited, tmp_path, home="process")
    assert (done.status, done.out, done.err) == (0, "", "")
    assert seen.data["named_fraction"] > 0
