# SPDX-License-Identifier: MIT
"""Homes on file systems that are no local disk: what waits there is delivered, once.

tests/targets/nfs_home.c makes a folder behave as NFS does; tests/unit/test_spool_elsewhere.py has the other kinds.

Context: tests.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.hosts import TARGETS, clean_environment, environment, gst_launch, run
from tests.pyroscope_client import CPU_TYPE
from tests.pyroscope_server import Fault, PyroscopeServer

pytestmark = [pytest.mark.integration, pytest.mark.fault]

SHORT = gst_launch("videotestsrc num-buffers=30 ! video/x-raw,width=320,height=240 ! fakesink")


@pytest.fixture(scope="module")
def nfs(tmp_path_factory):
    product = tmp_path_factory.mktemp("nfs") / "nfs_home.so"
    source = str(TARGETS / "nfs_home.c")
    subprocess.run(
        ["cc", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", source, "-o", str(product), "-ldl"],
        check=True,
    )
    return product


def profiled(nfs, home, url, locks=""):
    # Embedded, the agent lives where the preload is.
    env = environment("preload", "embedded", server_url=url, spool_dir=str(home))
    env["LD_PRELOAD"] = f"{nfs}:{env['LD_PRELOAD']}"
    return run(SHORT, env | {"NFS_HOME": str(home), "NFS_LOCKS": locks})


def test_the_imitation_refuses_what_nfs_refuses(nfs, tmp_path):
    """Else the tests below show nothing."""
    code = (
        "import fcntl, os, sys\n"
        "path = sys.argv[1] + '/file'\n"
        "open(path, 'w').close()\n"
        "for flags in (os.O_RDONLY, os.O_RDWR):\n"
        "    fd = os.open(path, flags)\n"
        "    try: print(fcntl.flock(fd, fcntl.LOCK_EX))\n"
        "    except OSError as error: print(error.strerror)\n"
        "os.unlink(path)\n"
        "print(len([one for one in os.listdir(sys.argv[1]) if one.startswith('.nfs')]))\n"
    )
    env = clean_environment() | {"LD_PRELOAD": str(nfs), "NFS_HOME": str(tmp_path)}
    done = run([sys.executable, "-c", code, str(tmp_path)], env)
    assert done.out.split("\n") == ["Bad file descriptor", "None", "1", ""]


def test_what_waits_in_a_home_on_nfs_is_delivered_once(nfs, tmp_path):
    spool = tmp_path / "spool"
    with PyroscopeServer() as server:
        server.always = Fault(status=503)
        assert profiled(nfs, spool, server.url).status == 0
        waiting = len(sorted(spool.rglob("*.push")))
        assert waiting > 0
        server.always = None
        assert profiled(nfs, spool, server.url).status == 0
        # Each push is numbered; one is of several series.
        stored = server.stored(CPU_TYPE, element="videotestsrc0")
        assert len({one.push for one in stored}) == waiting + 1
    assert [one for one in spool.rglob("*") if one.is_file()] == []


def test_a_home_without_locks_is_told_with_its_reason(nfs, tmp_path):
    spool = tmp_path / "spool"
    with PyroscopeServer() as server:
        server.always = Fault(status=503)
        done = profiled(nfs, spool, server.url, locks="none")
    assert done.status == 0
    assert "no spool, profiles wait in memory only" in done.err
    assert "No locks available" in done.err
    assert "profile dropped (not_delivered)" in done.err
