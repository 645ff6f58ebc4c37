# SPDX-License-Identifier: MIT
"""Python functions on a server: a profile type of their own, under the elements' labels, with the accounts' time.

Context: tests.
"""

from __future__ import annotations

import ast
import secrets

import pytest

from gst_pyro_shim.pprof import files
from tests.python.test_host import fits_this_python
from tests.support.hosts import (
    SYSTEM_PYTHON,
    TARGETS,
    environment,
    near_share,
    needs_gstreamer,
    run,
    run_until,
    wait_for_profile,
)
from tests.support.pyroscope_client import Client
from tests.support.waiting import wait_for

pytestmark = [
    pytest.mark.server,
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.skipif(not fits_this_python(), reason="pyroscope-io is of another Python"),
]

PYTHON_TYPE = "python_cpu:cpu:nanoseconds:cpu:nanoseconds"
PYTHON_COUNT_TYPE = "python_cpu:samples:count:cpu:nanoseconds"
RATE_HZ = 1000


@pytest.fixture(scope="module")
def pushed(url, tmp_path_factory):
    """A run: (service, client, CPU that each function of the program says it used, its file)."""
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
        output=str(folder / "x.pb.gz"),
    )
    done = run([SYSTEM_PYTHON, str(TARGETS / "python_work.py"), "4"], env)
    assert done.status == 0, done.err
    wait_for_profile(folder / "x.pb.gz")
    profile, client = files.read(folder / "x.pb.gz"), Client(url)
    # A query's total is a float of ns.
    used_ns = sum(sample.cpu_ns for sample in profile.samples)
    wait_for(lambda: client.flame(service_name=service).total >= used_ns - 1000, 30.0)
    return service, client, ast.literal_eval(done.out), profile


def test_it_has_a_type_of_its_own(pushed):
    service, client, _, _ = pushed
    assert PYTHON_TYPE in client.profile_types()
    native = client.flame(service_name=service)
    python = client.flame(PYTHON_TYPE, service_name=service)
    assert python.total > 0
    assert not any("three_quarters" in path for path in native.paths)
    assert any("three_quarters" in path for path in python.paths)


def test_each_element_has_its_python_time(pushed):
    service, client, _, profile = pushed
    for name in ("one-sink", "two-sink", "one-id", "two-id", "[main thread]", "[other threads]"):
        of_it = [one for one in profile.samples if dict(one.labels)["element"] == name]
        used_ns = sum(one.cpu_ns for one in of_it if one.python)
        found = client.flame(PYTHON_TYPE, service_name=service, element=name)
        assert found.total == pytest.approx(used_ns, rel=1e-6), name


def test_functions_are_found_by_element(pushed):
    service, client, used, _ = pushed
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
        number = client.flame(PYTHON_COUNT_TYPE, **labels).total
        assert share == near_share(truth, number)
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
    program = [SYSTEM_PYTHON, str(TARGETS / "before_and_after.py"), "0"]
    client = Client(url)

    def has_arrived():
        kinds = [kind for kind in client.profile_types() if kind.startswith("memory:alloc_space:")]
        paths = client.flame(kinds[0], service_name=service).paths if kinds else ()
        return any("allocate" in path for path in paths)

    done = run_until(has_arrived, program, environment("preload", **settings), tmp_path)
    assert done.status == 0, done.err
    assert has_arrived()
