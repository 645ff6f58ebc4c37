# SPDX-License-Identifier: MIT
"""From a real pipeline through each way in to a server, and back by its query API.

Against the server whose URL is in GP_TEST_SERVER_URL (`make test-server SERVER_URL=...`), or against our own.

Context: tests.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import secrets
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.support.hosts import (
    SYSTEM_PYTHON,
    TARGETS,
    WAYS,
    Done,
    clean_environment,
    environment,
    gst_launch,
    needs_gstreamer,
    run,
    wait_for_profile,
)
from tests.support.pprof_reader import parse_pprof
from tests.support.pyroscope_client import COUNT_TYPE, CPU_TYPE, Client
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.server, pytest.mark.integration]

PIPELINE = (
    "videotestsrc num-buffers=200 ! video/x-raw,width=640,height=360 ! videoconvert"
    " ! x264enc speed-preset=veryfast ! h264parse ! avdec_h264 ! videoconvert ! fakesink"
)
BUSY = {"x264enc0": "x264enc", "avdec_h264-0": "avdec_h264", "videotestsrc0": "videotestsrc"}
PROGRAMS = {
    "gst-launch": gst_launch(PIPELINE),
    "pygobject": [SYSTEM_PYTHON, str(TARGETS / "pipeline_app.py"), PIPELINE],
}
SAMPLE_RATE_HZ = 250


def execute(way: str, program: list[str], settings: dict[str, str]) -> Done:
    """Runs a program through one of the ways in; "parameters" is the tracer's own form of "plugin"."""
    if way == "run":
        flags = [f"--{name.replace('_', '-')}={text}" for name, text in settings.items()]
        line = [sys.executable, "-m", "gst_pyro_shim", "run", *flags, "--", *program]
        return run(line, clean_environment())
    if way == "parameters":
        given = ",".join(f'{name.replace("_", "-")}="{text}"' for name, text in settings.items())
        env = environment("plugin") | {"GST_TRACERS": f"pyroscope({given})"}
        return run(program, env)
    return run(program, environment(way, **settings))


def cpu_by_element(path: Path):
    """Nanoseconds by element, from the file of the run."""
    profile = parse_pprof(gzip.decompress(path.read_bytes()))
    column = [profile.text(kind) for kind, _ in profile.sample_types].index("cpu")
    totals: Counter[str] = Counter()
    for sample in profile.samples:
        if sample.values[column]:  # Python's own samples have none: they are another measure
            labels = {
                profile.text(key): profile.text(text) for key, text, _ in sample.labels if text
            }
            totals[labels["element"]] += sample.values[column]
    return dict(totals)


@pytest.fixture(
    scope="module",
    params=[(way, kind) for way in (*WAYS, "parameters") for kind in PROGRAMS],
    ids="-".join,
)
def pushed(request, url, tmp_path_factory):
    """A profiled run: (service, client, CPU by element as the run's own file has it)."""
    way, kind = request.param
    folder = tmp_path_factory.mktemp("run")
    service = f"gp-test-{way}-{kind}-{secrets.token_hex(4)}"
    output = folder / "run.pb.gz"
    settings = {
        "server_url": url,
        "tracer_name": service,
        "sample_rate": str(SAMPLE_RATE_HZ),
        "upload_interval": "1",
        "tags": "site=test",
        "output": str(output),
        "spool_dir": str(folder / "spool"),
    }
    needs_gstreamer("x264enc", "avdec_h264")
    done = execute(way, PROGRAMS[kind], settings)
    assert done.status == 0, done.err
    wait_for_profile(output)
    sent = cpu_by_element(output)
    client = Client(url)
    # What it has at last, a test says.
    with contextlib.suppress(AssertionError):
        wait_for(lambda: client.flame(service_name=service).total >= sum(sent.values()))
    return service, client, sent, folder / "spool"


def test_nothing_stayed_behind(pushed):
    assert not list(pushed[3].rglob("*.push"))


def test_elements_are_labels(pushed):
    service, client, sent, _ = pushed
    elements = client.label_values("element", service_name=service)
    assert set(BUSY) <= set(elements)
    assert set(elements) == set(sent)
    assert client.label_values("site", service_name=service) == ["test"]
    rows = client.series(["element", "factory"], service_name=service)
    factories = {row["element"]: row.get("factory") for row in rows}
    assert {name: factories[name] for name in BUSY} == BUSY
    assert all("factory" not in row for row in rows if row["element"].startswith("["))


def test_totals_are_what_was_sent(pushed):
    service, client, sent, _ = pushed
    assert client.flame(service_name=service).total == sum(sent.values())
    stored = {name: client.flame(service_name=service, element=name).total for name in sent}
    assert stored == sent


@pytest.mark.parametrize("element", BUSY)
def test_the_stack_holds_the_element_and_native_frames_under_it(element, pushed):
    service, client, _, _ = pushed
    flame = client.flame(service_name=service, element=element)
    inside = Counter()
    for path, value in flame.paths.items():
        assert element in path
        below = path[path.index(element) + 1 :]
        inside["native" if any(not name.startswith("[") for name in below) else "bare"] += value
    assert inside["native"] > inside["bare"]


def test_worker_threads_are_their_elements(pushed):
    service, client, _, _ = pushed
    for element in ("x264enc0", "avdec_h264-0"):
        if (os.cpu_count() or 1) > 1:
            assert len(client.label_values("thread", service_name=service, element=element)) > 1


def test_samples_are_counted_too(pushed):
    service, client, _, _ = pushed
    samples = client.flame(COUNT_TYPE, service_name=service, element="x264enc0").total
    seconds = client.flame(CPU_TYPE, service_name=service, element="x264enc0").total / 1e9
    assert 0.5 < samples / (SAMPLE_RATE_HZ * seconds) < 1.5
