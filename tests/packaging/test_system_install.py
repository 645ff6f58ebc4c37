# SPDX-License-Identifier: MIT
"""`install` and `uninstall` against the real loader, in a mount namespace where /etc and the target are overlays.

Context: test. Nothing of the machine is changed.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gst_pyro_shim import install

NAMESPACE = ["unshare", "--mount", "--propagation", "private"] + ["--map-root-user"] * (
    os.geteuid() != 0
)
OVERLAYS = """
set -e
scratch=$(mktemp -d)
mount -t tmpfs tmpfs "$scratch"
for place in /etc "$LIBDIR"; do
  mkdir -p "$scratch$place/upper" "$scratch$place/work"
  mount -t overlay overlay -o "lowerdir=$place,upperdir=$scratch$place/upper,workdir=$scratch$place/work" "$place"
done
"""
SCRIPT = """
"$PYTHON" -m gst_pyro_shim install
cd /
GST_PYROSCOPE_OUTPUT="$PROFILE" LD_PRELOAD=libgstpyro.so \
  gst-launch-1.0 -q videotestsrc num-buffers=300 ! videoconvert ! video/x-raw,format=I420 ! fakesink
LD_PRELOAD=libgstpyro.so cat /proc/self/maps | grep -m1 -o '/.*libgstpyro.so'
cd "$ROOT"
"$PYTHON" -m gst_pyro_shim uninstall
find "$LIBDIR" -name '*gst*pyro*'
LD_PRELOAD=libgstpyro.so /bin/true 2>&1 | grep -o 'cannot be preloaded'
"""


@pytest.fixture
def namespace(tmp_path):
    """Runs a shell script in overlays; skips where the kernel does not allow them."""
    environ = os.environ | {
        "PYTHON": sys.executable,
        "ROOT": str(Path(__file__).resolve().parents[2]),
        "LIBDIR": str(install.default_libdir()),
        "PROFILE": str(tmp_path / "x.pb.gz"),
        "GST_REGISTRY": str(tmp_path / "registry.bin"),
        "XDG_STATE_HOME": str(tmp_path),
    }

    def run(script: str) -> subprocess.CompletedProcess[str]:
        command = [*NAMESPACE, "sh", "-c", OVERLAYS + script]
        return subprocess.run(
            command, env=environ, capture_output=True, text=True, timeout=250, check=False
        )

    if run("").returncode != 0:
        pytest.skip("no mount namespace with overlays here")
    return run


@pytest.mark.integration
def test_bare_name_works_after_install_and_is_gone_after_uninstall(namespace, tmp_path):
    # WHEN
    done = namespace(SCRIPT)
    # THEN
    libdir = install.default_libdir()
    tree = libdir / "gst-pyro-shim"
    places = [
        libdir / "libgstpyro.so",
        tree / "plugin" / "libgstpyro.so",
        tree / "agent-python.txt",
    ]
    assert done.stdout.splitlines() == [
        *(f"installed {place}" for place in places),
        str(places[1]),
        *(f"removed {place}" for place in places),
        "cannot be preloaded",
    ], done.stderr
    assert (tmp_path / "x.pb.gz").is_file()
