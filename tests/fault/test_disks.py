# SPDX-License-Identifier: MIT
"""Homes on file systems that are no local disk: profiles that wait there are delivered, once.

tests/targets/nfs_home.c makes a folder behave as NFS does; tests/unit/test_spool_elsewhere.py has the other kinds.

Context: tests.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.hosts import TARGETS, clean_environment, environment, gst_launch, report, run
from tests.support.pyroscope_server import Fault, PyroscopeServer
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.fault]

ROOT = Path(__file__).parents[2]
PROFILES = 20
# Deliveries as an agent makes them, but without a host, whose end would leave a second for them.
EXPORTER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from gst_pyro_shim.settings.model import Settings
from gst_pyro_shim.push.exporter import Exporter
from tests.support.exporting import dropped, submit
from tests.support.waiting import wait_for

url, spool, new = sys.argv[1:]
said = lambda *line: print(*line, file=sys.stderr)
exporting = Exporter(Settings(server_url=url, spool_dir=spool), said)
submit(exporting, int(new))
wait_for(lambda: int(new) or not any(Path(spool).parent.rglob("*.push")), 30)
exporting.close(60.0)
counters = exporting.counters
print(counters["pushed_profiles"], counters["spooled"], dropped(exporting))
"""


@pytest.fixture(scope="module")
def nfs(tmp_path_factory):
    product = tmp_path_factory.mktemp("nfs") / "nfs_home.so"
    source = str(TARGETS / "nfs_home.c")
    subprocess.run(
        ["cc", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", source, "-o", str(product), "-ldl"],
        check=True,
    )
    return product


def delivered(nfs, home, url, new=0, locks=""):
    """A process whose home is on NFS: submits `new` profiles, or waits until the spool there is empty."""
    env = {"LD_PRELOAD": str(nfs), "NFS_HOME": str(home), "NFS_LOCKS": locks}
    words = [sys.executable, "-c", EXPORTER, url, str(home), str(new)]
    return run(words, clean_environment() | env, cwd=ROOT)


def test_the_imitation_refuses_what_nfs_refuses(nfs, tmp_path):
    """Without that the tests below would prove nothing."""
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


@pytest.mark.parametrize("processes", [1, 3])
def test_profiles_in_a_spool_on_nfs_are_delivered_once(processes, nfs, tmp_path):
    spool = tmp_path / "spool"
    with PyroscopeServer() as server:
        server.always = Fault(status=503)
        assert delivered(nfs, spool, server.url, PROFILES).out == f"0 {PROFILES} {{}}\n"
        assert len(sorted(spool.rglob("*.push"))) == PROFILES
        server.always = None
        with ThreadPoolExecutor(processes) as pool:
            done = list(pool.map(lambda _: delivered(nfs, spool, server.url), range(processes)))
        assert sum(int(one.out.split()[0]) for one in done) == PROFILES, done
        assert len(server.stored()) == PROFILES
    # A process that ends while it tries the folder out leaves an empty file, which the next one sweeps.
    assert [one for one in spool.rglob("*") if one.is_file() and one.stat().st_size > 0] == []


def test_in_a_home_without_locks_profiles_wait_in_the_temporary_folder(nfs, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with PyroscopeServer() as server:
        server.always = Fault(status=503)
        done = delivered(nfs, tmp_path / "spool", server.url, PROFILES, locks="none")
        assert done.out == f"0 {PROFILES} {{}}\n"
        assert "the spool takes no profile: " in done.err
        assert ": No locks available; they wait in " in done.err
        server.always = None
        assert (
            delivered(nfs, tmp_path / "spool", server.url, locks="none").out
            == f"{PROFILES} 0 {{}}\n"
        )


@pytest.mark.integration
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_with_a_full_disk_the_output_file_is_in_another_folder(tmp_path):
    work, elsewhere = tmp_path / "work", tmp_path / "elsewhere"
    work.mkdir()
    elsewhere.mkdir()
    pipeline = gst_launch("videotestsrc num-buffers=30 ! fakesink name=last")
    script = 'cat /dev/zero > fills 2>/dev/null; exec "$@"'
    full = [sys.executable, str(TARGETS / "full_disk.py"), "sh", "-c", script, "sh"]
    # In a process of its own the agent finishes, however busy the machine is.
    env = environment("preload", "process", output=str(work / "x.pb.gz"))
    done = run([*full, *pipeline], env | {"TMPDIR": str(elsewhere)}, cwd=work)
    if done.status == 77:
        pytest.skip("no mounts here")
    assert done.status == 0
    wait_for(lambda: [one for one in elsewhere.glob("x.*.pb.gz") if one.stat().st_size])
    (file,) = elsewhere.glob("x.*.pb.gz")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    wait_for(lambda: "last" in {row["name"] for row in report(file).data["elements"]})
