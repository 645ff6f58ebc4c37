# SPDX-License-Identifier: MIT
"""What a real Pyroscope answered (pyroscope-contract.json), asked again: of the tests' server, so that it can stand for
the real one; or of a real server, whose URL is in GP_TEST_SERVER_URL, so that the record can be trusted.

Context: tests.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import time
import zlib
from collections import Counter
from pathlib import Path

import pytest

from tests.support.pprof_writer import CPU, SECOND_NS, pprof, push
from tests.support.pyroscope_client import CPU_TYPE, Client
from tests.support.pyroscope_server import PUSH_PATH, PyroscopeServer

RECORD = json.loads((Path(__file__).parent / "pyroscope-contract.json").read_text("utf-8"))
CASES = {case["name"]: case for case in RECORD["cases"] if "request" in case}
RECORDED_CHARS = 400
"""Longer answers are cut in the record."""

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? \+0000 UTC")
IDENTITY = "a78a1533-a956-4901-ae6f-15d23d44e0c9"

TWO_ELEMENTS = CASES["labels-become-series"]["request"]["series"][0]["profiles"][0]["samples"]


@pytest.fixture
def client():
    url = os.environ.get("GP_TEST_SERVER_URL")
    if url:
        yield Client(url)
        return
    with PyroscopeServer() as server:
        yield Client(server.url)


@pytest.fixture
def run():
    """Makes service names new, so that a server may be asked twice."""
    return "-" + secrets.token_hex(4)


def built(profile):
    """A profile of the record."""
    arguments = {
        key: profile[key] for key in ("repeat", "pad_strings", "mapping") if key in profile
    }
    if "sample_type" in profile:
        arguments["sample_type"] = [tuple(pair) for pair in profile["sample_type"]]
    if "period_type" in profile:
        arguments["period_type"] = profile["period_type"]
    offset = profile.get("time_offset_s", 0)
    when = None if offset is None else time.time_ns() + offset * SECOND_NS
    return pprof(profile["samples"], time_ns=when, **arguments)


def body_of(name, request, run):
    """The bytes of a case; those that the record describes in words only are made here."""
    if "series" in request:
        return push(
            [
                (renamed(series["labels"], run), [built(each) for each in series["profiles"]])
                for series in request["series"]
            ],
            IDENTITY,
        )
    plain = pprof(TWO_ELEMENTS)
    raw = {
        "gzip-profile": zlib.compress(plain, wbits=31),
        "label-value-not-utf8": pprof([{**TWO_ELEMENTS[0], "labels": {"element": b"a\xff"}}]),
        "profile-truncated": plain[: len(plain) // 2],
        "profile-gzip-corrupt": zlib.compress(plain, wbits=31)[:60],
        "profile-garbage": b"\xff" * 64,
        "profile-empty": b"",
    }.get(name, plain)
    labels = renamed({"__name__": "process_cpu", "service_name": name}, run)
    if name == "json":
        message = {
            "labels": [{"name": key, "value": value} for key, value in labels.items()],
            "samples": [{"rawProfile": base64.b64encode(raw).decode()}],
        }
        return json.dumps({"series": [message]}).encode()
    body = push([(labels, [raw])])
    return body[: len(body) // 2] if name == "not-protobuf" else body


def renamed(labels, run):
    return {k: v + run if k == "service_name" else v for k, v in labels.items()}


def services(name, request, run):
    if "series" not in request:
        return [name + run]
    return [
        renamed(series["labels"], run).get("service_name", "unknown_service")
        for series in request["series"]
    ]


def masked(text, run):
    text = _TIME.sub("TIME", _UUID.sub("UUID", text.replace(run, "")))
    # The server's JSON encoder adds a space at random, so that nobody relies on its bytes.
    return re.sub(r'^\{"code": ?("\w+"), ?"message": ?', r'{"code":\1,"message":', text)


def expected(answer):
    text = masked(answer["body"], "\0")
    return text, len(answer["body"]) == RECORDED_CHARS


@pytest.mark.parametrize("name", CASES)
def test_case(name, client, run):
    case = CASES[name]
    request = case["request"]
    if name == "two-sample-types":
        # The record's list of types shows what an earlier case left.
        test_case("no-period-type", client, run)
    body = body_of(name, request, run)
    if request["headers"].get("Content-Encoding") == "gzip":
        body = zlib.compress(body, wbits=31)
    asked = {
        service: client.flame(service_name=service).total
        for service in ("unknown_service", "other")
    }
    for answer in case["answers"]:
        status, text = client.post(request["path"], body, request["headers"], request["method"])
        recorded, cut = expected(answer)
        given = masked(text, run)
        assert (status, given[: len(recorded)] if cut else given) == (answer["status"], recorded)
    if "queried" in case:
        check_queried(case["queried"], client, services(name, request, run), asked, run)


def total(client, service, before):
    return client.flame(service_name=service).total - before.get(service, 0)


def joined(flame):
    return {";".join(path): value for path, value in flame.paths.items()}


def check_queried(queried, client, names, before, run):
    service = names[0]
    if isinstance(queried, int):
        assert total(client, service, before) == queried
    elif isinstance(queried, list):
        assert client.label_values("element", service_name=service) == queried
    else:
        flame = client.flame(service_name=service)
        now = {
            "names": lambda: client.label_names(service_name=service),
            "element": lambda: client.label_values("element", service_name=service),
            "total": lambda: total(client, service, before),
            "paths": lambda: joined(flame),
            "all": lambda: whole(flame),
            "x264enc0": lambda: whole(client.flame(service_name=service, element="x264enc0")),
            "good": lambda: total(client, names[0], before),
            "bad": lambda: total(client, names[1], before),
            "c14": lambda: total(client, "c14" + run, before),
            "other": lambda: total(client, "other", before),
            "frames": lambda: [len(path) for path in flame.paths],
            "has_leaf": lambda: any("leaf" in path for path in flame.paths),
            "has_root": lambda: any("root" in path for path in flame.paths),
            "first": lambda: [list(path[:2]) for path in flame.paths],
            "last": lambda: [list(path[-2:]) for path in flame.paths],
            # All that the server ever got: the record's, and maybe more.
            "types": lambda: sorted(set(client.profile_types()) & set(queried["types"])),
        }
        assert {what: now[what]() for what in queried} == queried


def whole(flame):
    return {"total": flame.total, "paths": joined(flame)}


def test_an_answered_push_can_be_queried(client, run):
    labels = {"__name__": "process_cpu", "service_name": "visible" + run}
    assert client.push(push([(labels, [pprof(TWO_ELEMENTS)])])) == (200, "")
    assert client.flame(service_name="visible" + run).total == 40_000_000


# Each limit once more, one step to either side.


def sample(labels=None, value=1000, stack=("f", "main")):
    return {"stack": stack, "value": [value], "labels": labels or {}}


def sent(client, run, profile, labels=None):
    """Status, error and stored total of one profile."""
    series = {"__name__": "process_cpu", "service_name": "limit" + run, **(labels or {})}
    status, text = client.push(push([(series, [profile])]))
    stored = client.flame(service_name="limit" + run)
    return status, json.loads(text)["message"] if text else "", stored


def refused(result, status, words):
    assert result[0] == status
    assert words in result[1]
    assert result[2].total == 0


def accepted(result, total=1000):
    assert result[:2] == (200, "")
    assert result[2].total == total


@pytest.mark.parametrize("text", ["e" * 2047, "e" * 2048, "é" * 1024])
def test_label_value_at_the_limit(text, client, run):
    accepted(sent(client, run, pprof([sample({"element": text})])))
    assert client.label_values("element", service_name="limit" + run) == [text]


@pytest.mark.parametrize("text", ["e" * 2049, "e" * 2050, "é" * 1024 + "e"])
def test_label_value_beyond_the_limit(text, client, run):
    result = sent(client, run, pprof([sample({"element": text})]))
    refused(result, 400, f"has label value too long: '{text}'")


@pytest.mark.parametrize(("size", "good"), [(1023, True), (1024, True), (1025, False)])
def test_label_name(size, good, client, run):
    result = sent(client, run, pprof([sample({"n" * size: "v"})]))
    if good:
        accepted(result)
    else:
        refused(result, 400, "has label name too long")


@pytest.mark.parametrize("on_series", [0, 10])
@pytest.mark.parametrize("count", [27, 28, 29, 30])
def test_labels_of_a_series(count, on_series, client, run):
    names = [f"l{each:02}" for each in range(count)]
    series = dict.fromkeys(names[:on_series], "v")
    profile = pprof([sample(dict.fromkeys(names[on_series:], "v"))])
    result = sent(client, run, profile, series)
    if count <= 28:
        accepted(result)
    else:
        refused(result, 400, f"has {count + 2} label names; limit 30")


@pytest.mark.parametrize(("count", "good"), [(99, True), (100, True), (101, False)])
def test_labels_of_a_sample_numeric_ones_counted(count, good, client, run):
    result = sent(client, run, pprof([sample({f"n{each}": each for each in range(count)})]))
    if good:
        accepted(result)
    else:
        refused(result, 400, "exceeds the sample labels limit")


@pytest.mark.parametrize("count", [15999, 16000, 16001])
def test_samples(count, client, run):
    result = sent(client, run, pprof([sample()], repeat=count))
    if count <= 16000:
        accepted(result, 1000 * count)
    else:
        refused(result, 400, f"actual: {count}, limit: 16000")


@pytest.mark.parametrize("depth", [999, 1000, 1001])
def test_depth(depth, client, run):
    stack = [f"f{each}" for each in range(depth)]
    result = sent(client, run, pprof([sample(stack=stack)]))
    accepted(result)
    assert list(result[2].paths) == [tuple(reversed(stack[max(0, depth - 1000) :]))]


@pytest.mark.parametrize("size", [65534, 65535, 65536])
def test_function_name(size, client, run):
    result = sent(client, run, pprof([sample(stack=("a" + "b" * (size - 1), "main"))]))
    accepted(result)
    ((_, leaf),) = result[2].paths
    assert leaf == ("a" + "b" * (size - 1))[-65535:]


@pytest.mark.parametrize("offset_s", [-3595, 595])
def test_time_inside_the_window(offset_s, client, run):
    accepted(sent(client, run, pprof([sample()], time_ns=time.time_ns() + offset_s * SECOND_NS)))


@pytest.mark.parametrize("offset_s", [-3605, 605])
def test_time_outside_the_window(offset_s, client, run):
    profile = pprof([sample()], time_ns=time.time_ns() + offset_s * SECOND_NS)
    refused(sent(client, run, profile), 400, "is outside of ingestion window")


def padded(size):
    """A profile of exactly so many bytes."""
    bare = pprof([sample()])
    for text in (size - len(bare) - each for each in range(2, 12)):
        profile = bare + pprof_string(b"x" * text)
        if len(profile) == size:
            return profile
    raise AssertionError(size)


def pprof_string(text):
    from tests.support.pprof_writer import chunk

    return chunk(6, text)


@pytest.mark.parametrize(("step", "good"), [(-1, True), (0, True), (1, False)])
def test_burst(step, good, client, run):
    time.sleep(1)  # a real server's bucket fills up
    charged = sum(len(text) for text in ("__name__", "process_cpu", "service_name", "limit" + run))
    result = sent(client, run, padded(2 * 1024 * 1024 - charged + step))
    if good:
        accepted(result)
    else:
        refused(result, 429, "push rate limit (4.0 MiB) exceeded while adding 2.0 MiB")


@pytest.mark.parametrize(("step", "status"), [(-1, 429), (0, 429), (1, 400)])
@pytest.mark.parametrize("gzipped", [False, True])
def test_profile_size(step, status, gzipped, client, run):
    profile = padded(4 * 1024 * 1024 + step)
    raw = zlib.compress(profile, 1, wbits=31) if gzipped else profile
    words = "limit of 4.2 MB" if status == 400 else "exceeded while adding 4.0 MiB"
    refused(sent(client, run, raw), status, words)


@pytest.mark.parametrize(("kind", "good"), [("a_b", True), ("a-b", False), ("-", False)])
def test_sample_type(kind, good, client, run):
    result = sent(client, run, pprof([sample()], sample_type=[(kind, "count")]))
    assert result[0] == (200 if good else 400)


@pytest.mark.parametrize(("value", "stored"), [(1, 1), (0, 0), (-1, 0)])
def test_value(value, stored, client, run):
    accepted(sent(client, run, pprof([sample(value=value)])), stored)


@pytest.mark.parametrize("period_type", [CPU, None])
def test_a_zero_sample_beside_a_good_one_with_the_same_functions(period_type, client, run):
    profile = pprof([sample(), sample({"element": "e"}, value=0)], period_type=period_type)
    status, text, _ = sent(client, run, profile)
    assert (status, text) == (200, "")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b'{"series":[]}', b'{"series":7}'])
def test_json_that_is_no_push(body, client):
    status, text = client.push(body, {"Content-Type": "application/json"})
    assert (status, json.loads(text)["code"]) == (400, "invalid_argument")


def test_what_was_stored_is_what_was_sent_for_every_label(client, run):
    elements = [f"e{each}" for each in range(50)]
    samples = [sample({"element": name}, value=each + 1) for each, name in enumerate(elements)]
    sent(client, run, pprof(samples))
    service = "limit" + run
    stored = Counter({e: client.flame(service_name=service, element=e).total for e in elements})
    assert stored == Counter({e: each + 1 for each, e in enumerate(elements)})
    assert client.flame(CPU_TYPE, service_name=service).total == sum(range(51))
    rows = client.series(["element"], service_name=service)
    assert sorted(row["element"] for row in rows) == sorted(elements)


def test_paths_of_the_record_are_ours():
    assert {case["request"]["path"] for case in CASES.values()} >= {PUSH_PATH}
    assert len(CASES) == 60
