# SPDX-License-Identifier: MIT
"""The query API as the tests use it: of our server, or of a real one named by GP_TEST_SERVER_URL.

Context: tests.
"""

from __future__ import annotations

import json
import os
import secrets

import pytest

from tests.support.pprof_writer import pprof, push
from tests.support.pyroscope_client import COUNT_TYPE, CPU_TYPE, Client, selector
from tests.support.pyroscope_server import QUERY_PATH, PyroscopeServer

JSON = {"Content-Type": "application/json"}
STACKS = {
    "enc0": ("memcpy", "encode", "enc0", "main"),
    "enc1": ("memcpy", "encode", "enc1", "main"),
    "sink": ("render", "sink", "main"),
}


@pytest.fixture(scope="module")
def client():
    url = os.environ.get("GP_TEST_SERVER_URL")
    if url:
        yield Client(url)
        return
    with PyroscopeServer() as server:
        yield Client(server.url)


@pytest.fixture(scope="module")
def service(client):
    """Three elements of 1, 2 and 4 ns, in two samples each."""
    name = "query-" + secrets.token_hex(4)
    samples = [
        {
            "stack": stack[at:],
            "value": [2**element, 1],
            "labels": {"element": label, "thread": f"t{at}"},
        }
        for element, (label, stack) in enumerate(STACKS.items())
        for at in (0, 1)
    ]
    types = (("cpu", "nanoseconds"), ("samples", "count"))
    labels = {"__name__": "process_cpu", "service_name": name}
    assert client.push(push([(labels, [pprof(samples, sample_type=types)])])) == (200, "")
    return name


@pytest.mark.parametrize(
    ("matcher", "total"),
    [
        ("", 14),
        ('element="enc0"', 2),
        ('element!="enc0"', 12),
        ('element=~"enc."', 6),
        ('element!~"enc."', 8),
        ('element=~"en"', 0),
        ('element="enc1", thread="t0"', 2),
        ('element=""', 0),
        ('factory=""', 14),
    ],
)
def test_selectors(matcher, total, client, service):
    text = f'{{service_name="{service}"{", " if matcher else ""}{matcher}}}'
    answer = client.query("SelectMergeStacktraces", profileTypeID=CPU_TYPE, labelSelector=text)
    assert int(answer["flamegraph"].get("total", 0)) == total


def test_flame_graph_of_all(client, service):
    flame = client.flame(service_name=service)
    expected = {}
    for element, stack in enumerate(STACKS.values()):
        for at in (0, 1):
            expected[tuple(reversed(stack[at:]))] = 2**element
    assert flame.paths == expected
    assert client.flame(COUNT_TYPE, service_name=service).total == 6


def test_label_queries(client, service):
    assert client.label_values("element", service_name=service) == sorted(STACKS)
    assert client.label_values("thread", service_name=service, element="sink") == ["t0", "t1"]
    assert client.label_names(service_name=service) == ["element", "service_name", "thread"]
    rows = client.series(["element"], service_name=service)
    assert sorted(row["element"] for row in rows) == sorted(STACKS)
    assert {CPU_TYPE, COUNT_TYPE} <= set(client.profile_types())


def test_times_outside_the_range_are_left_out(client, service):
    answer = client.query(
        "SelectMergeStacktraces",
        profileTypeID=CPU_TYPE,
        labelSelector=selector(service_name=service),
        start=1,
        end=2,
    )
    assert int(answer.get("flamegraph", {}).get("total", 0)) == 0


@pytest.mark.parametrize(
    ("method", "question"),
    [
        ("SelectMergeStacktraces", {"profileTypeID": CPU_TYPE, "start": 1, "end": 2}),
        ("SelectMergeStacktraces", {"profileTypeID": "cpu", "labelSelector": "{}"}),
        (
            "SelectMergeStacktraces",
            {"profileTypeID": CPU_TYPE, "labelSelector": '{a="b"', "start": 1, "end": 2},
        ),
        ("LabelValues", {"name": "element", "start": 2, "end": 1}),
    ],
)
def test_invalid_questions(method, question, client):
    status, text = client.post(QUERY_PATH + method, json.dumps(question).encode(), JSON)
    assert (status, json.loads(text)["code"]) == (400, "invalid_argument")


def test_invalid_requests(client):
    path = QUERY_PATH + "LabelNames"
    assert client.post(path, b"{", JSON)[0] == 400
    assert client.post(path, b"{}", {"Content-Type": "text/plain"})[0] == 415
    assert client.post(QUERY_PATH + "Nothing", b"{}", JSON)[0] == 404
