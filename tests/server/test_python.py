# SPDX-License-Identifier: MIT
"""Python functions on a server: a profile type of their own, under the elements' labels.

Context: tests.
"""

from __future__ import annotations

import ast
import secrets
import time

import pytest

from tests.hosts import SYSTEM_PYTHON, TARGETS, environment, near_share, needs_gstreamer, run
from tests.pyroscope_client import Client
from tests.python.test_host import fits_this_python
from tests.waiting import wait_for

pytestmark = [
    pytest.mark.server,
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.skipif(not fits_this_python(), reason="pyroscope-io is of another Python"),
]

PYTHON_TYPE = "python_cpu:cpu:nanoseconds:cpu:nanoseconds"
RATE_HZ = 1000
PYTHON_RATE_HZ = RATE_HZ / 4


@pytest.fixture(scope="module")
def pushed(url, tmp_path_factory):
    """A run: (service, client, CPU that each function of the program says it used)."""
    needs_gstreamer("appsink")
    folder = tmp_path_factory.mktemp("run")
    service = f"gp-test-python-{secrets.token_hex(4)}"
    env = environment(
        "preload",
        server_url=url,
        tracer_name=service,
        sample_rate=str(RATE_HZ),
        upload_interval="2",
        tags="site=test",
        spool_dir=str(folder / "spool"),
    )
    done = run([SYSTEM_PYTHON, str(TARGETS / "python_work.py"), "4"], env)
    assert done.status == 0, done.err
    time.sleep(2)
    return service, Client(url), ast.literal_eval(done.out)


def test_it_has_a_type_of_its_own(pushed):
    service, client, _ = pushed
    assert PYTHON_TYPE in client.profile_types()
    native = client.flame(service_name=service)
    python = client.flame(PYTHON_TYPE, service_name=service)
    assert python.total > 0
    assert not any("three_quarters" in path for path in native.paths)
    assert any("three_quarters" in path for path in python.paths)


def test_functions_are_found_by_element(pushed):
    service, client, used = pushed
    for pipeline in ("one", "two"):
        labels = {"service_name": service, "element": f"{pipeline}-sink", "pipeline": pipeline}
        paths = client.flame(PYTHON_TYPE, **labels, factory="appsink", site="test").paths
        inside = {
            name: sum(ns for path, ns in paths.items() if path[-1] == name)
            for name in ("three_quarters", "one_quarter")
        }
        whole_ns = sum(inside.values())
        share = inside["three_quarters"] / whole_ns
        truth = used["three_quarters"] / (used["three_quarters"] + used["one_quarter"])
        assert share == near_share(truth, PYTHON_RATE_HZ * whole_ns / 1e9)
    paths = client.flame(PYTHON_TYPE, service_name=service, element="one-id").paths
    assert any(path[-1] == "sink_pad_work" for path in paths)
    assert any(
        "timeout_work" in path
        for path in client.flame(PYTHON_TYPE, service_name=service, element="[main thread]").paths
    )


def test_allocations_where_they_are_asked_for(url, tmp_path):
    service = f"gp-test-memory-{secrets.token_hex(4)}"
    settings = {
        "server_url": url,
        "tracer_name": service,
        "upload_interval": "1",
        "python_memory": "true",
        "spool_dir": str(tmp_path),
    }
    program = [SYSTEM_PYTHON, str(TARGETS / "python_work.py"), "2", "numpy"]
    assert run(program, environment("preload", **settings)).status == 0
    client = Client(url)

    def has_arrived():
        kinds = [kind for kind in client.profile_types() if kind.startswith("memory:alloc_space:")]
        paths = client.flame(kinds[0], service_name=service).paths if kinds else ()
        return any("brighten" in path for path in paths)

    wait_for(has_arrived, 10.0)
