# SPDX-License-Identifier: MIT
"""A stripped plugin whose debug information is on a debuginfod server: Debian's own, started here.

Context: tests.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from gst_pyro_shim.pprof.decode import decode
from tests.support.hosts import TARGETS, gst_launch, profile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gst_pyro_shim.pprof.model import Frame, Sample

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("debuginfod") is None, reason="no debuginfod here"),
]

SOURCE = TARGETS / "gstinlines.c"
READY_S = 20.0


@dataclass(frozen=True, slots=True)
class Plugin:
    """A stripped plugin, and where its debug information is, all by itself."""

    path: Path
    debug_dir: Path
    build_id: str


def sh(*words: object) -> str:
    command = [str(word) for word in words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def line_of(text: str) -> int:
    lines = SOURCE.read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if f"line of {text} " in line)


def build(folder: Path, *, use_dwz: bool = False) -> Plugin:
    flags = sh("pkg-config", "--cflags", "--libs", "gstreamer-base-1.0").split()
    whole, path = folder / "whole.so", folder / "libgstinlines.so"
    debug_dir = folder / "debug"
    debug_dir.mkdir()
    sh("cc", "-O2", "-g", "-shared", "-fPIC", "-Wl,--build-id", SOURCE, "-o", whole, *flags)
    if use_dwz:
        shutil.copy(whole, folder / "copy.so")
        common = debug_dir / "common.debug"
        sh("dwz", "-m", common, "-M", common, whole, folder / "copy.so")
    sh("objcopy", "--only-keep-debug", whole, debug_dir / "inlines.debug")
    sh("objcopy", "--strip-all", whole, path)
    build_id = sh("readelf", "-n", path).split("Build ID: ")[1].split()[0]
    whole.unlink()
    return Plugin(path, debug_dir, build_id)


@pytest.fixture
def server() -> Iterator[_Server]:
    one = _Server()
    yield one
    one.close()


class _Server:
    """Debian's debuginfod on loopback."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def serve(self, plugin: Plugin) -> None:
        """Until it has scanned the plugin's debug file."""
        environ = {key: value for key, value in os.environ.items() if key != "DEBUGINFOD_URLS"}
        self._process = subprocess.Popen(
            ["debuginfod", "-F", "-d", ":memory:", "-p", str(self._port), str(plugin.debug_dir)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environ,
        )
        end = time.monotonic() + READY_S
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/buildid/{plugin.build_id}/debuginfo"):
                    return
            except OSError as error:
                if isinstance(error, urllib.error.HTTPError):
                    error.close()
                assert time.monotonic() < end, "debuginfod does not serve the file"
                time.sleep(0.1)

    def close(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()


def run(plugin: Plugin, tmp_path: Path, home: str, buffers: int = 2500) -> list[Sample]:
    launch = gst_launch(
        f"--gst-plugin-load={plugin.path} fakesrc num-buffers={buffers} sizetype=fixed sizemax=16 filltype=zero"
        " ! inlines ! fakesink"
    )
    done, _ = profile(launch, tmp_path, home=home, sample_rate="250")
    assert done.status == 0, done.err
    return decode((tmp_path / f"preload-{home}.pb.gz").read_bytes()).samples


def leaves(samples: list[Sample], plugin: Plugin) -> list[tuple[Frame, tuple[Frame, ...], int]]:
    """Of samples whose leaf is in the plugin: leaf, stack, ns."""
    return [
        (one.frames[0], one.frames, one.cpu_ns)
        for one in samples
        if one.frames[0].module == str(plugin.path)
    ]


def with_lines_share(samples: list[Sample], plugin: Plugin) -> float:
    rows = leaves(samples, plugin)
    named = [ns for leaf, _, ns in rows if leaf.file.endswith("gstinlines.c") and leaf.line > 0]
    return sum(named) / sum(ns for _, _, ns in rows)


@pytest.mark.parametrize("home", ["embedded", "process"])
@pytest.mark.parametrize("packing", ["whole", "dwz"])
def test_names_lines_and_inlines_come_from_a_server(
    server: _Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    home: str,
    packing: str,
) -> None:
    if packing == "dwz" and shutil.which("dwz") is None:
        pytest.skip("no dwz here")
    plugin = build(tmp_path, use_dwz=packing == "dwz")
    server.serve(plugin)
    monkeypatch.setenv("DEBUGINFOD_URLS", f"http://127.0.0.1:1 {server.url}")
    monkeypatch.setenv("DEBUGINFOD_CACHE_PATH", str(tmp_path / "cache"))
    samples = run(plugin, tmp_path, home)
    assert with_lines_share(samples, plugin) >= 0.99
    stacks = [frames for _, frames, _ in leaves(samples, plugin)]
    inlined = [[frame.name for frame in frames[:4]] for frames in stacks]
    assert ["mix", "stir", "churn", "inlines_transform_ip"] in inlined
    frames = stacks[inlined.index(["mix", "stir", "churn", "inlines_transform_ip"])]
    assert [frame.line for frame in frames[1:3]] == [line_of("stir"), line_of("churn")]
    assert (tmp_path / "cache" / plugin.build_id / "debuginfo").stat().st_size > 0
    served = [path for path in (tmp_path / "cache").glob("*/debuginfo") if path.stat().st_size]
    assert (len(served) == 2) == (packing == "dwz")


def test_what_is_in_the_cache_needs_no_server(
    server: _Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = build(tmp_path)
    cached = tmp_path / "cache" / plugin.build_id
    cached.mkdir(parents=True)
    shutil.copy(plugin.debug_dir / "inlines.debug", cached / "debuginfo")
    monkeypatch.setenv("DEBUGINFOD_URLS", server.url)  # nobody listens there
    monkeypatch.setenv("DEBUGINFOD_CACHE_PATH", str(tmp_path / "cache"))
    assert with_lines_share(run(plugin, tmp_path, "process", 100), plugin) >= 0.99


def test_a_server_that_never_answers_delays_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = build(tmp_path)
    monkeypatch.setenv("DEBUGINFOD_CACHE_PATH", str(tmp_path / "cache"))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("DEBUGINFOD_URLS", f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.monotonic()
        samples = run(plugin, tmp_path, "embedded", 100)
        assert time.monotonic() - start < 5
    assert {leaf.name for leaf, _, _ in leaves(samples, plugin)}
    assert with_lines_share(samples, plugin) == 0
