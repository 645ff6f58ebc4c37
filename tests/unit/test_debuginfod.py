# SPDX-License-Identifier: MIT
"""The client of debuginfod servers: cache, misses, limits, and who comes first."""

from __future__ import annotations

import http.server
import threading
from typing import TYPE_CHECKING

import pytest

from gst_pyro_shim.symbols.debuginfod import Debuginfod, debuginfod_of
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HAS = "aa" * 20
BIG = "bb" * 20
UNKNOWN = "cc" * 20
SLOW = "dd" * 20
FAILS = "ee" * 20


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.may_answer = threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        build_id = self.path.split("/")[2]
        self.server.asked.append(build_id)
        if build_id == SLOW:
            self.server.may_answer.wait(5)
        status = {UNKNOWN: 404, FAILS: 503}.get(build_id, 200)
        body = b"x" * (100_000 if build_id == BIG else 1000)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as one:
        threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield one
        one.may_answer.set()
        one.shutdown()


@pytest.fixture
def client(server: Server, tmp_path: Path) -> Callable[..., Debuginfod]:
    def make(**environ: str) -> Debuginfod:
        base = {"DEBUGINFOD_URLS": server.url, "DEBUGINFOD_CACHE_PATH": str(tmp_path / "cache")}
        return Debuginfod(base | environ, lambda _level, _text: None)

    return make


def test_without_servers_there_is_no_client():
    assert debuginfod_of({"DEBUGINFOD_URLS": " "}, lambda _level, _text: None) is None


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"DEBUGINFOD_CACHE_PATH": "/a", "HOME": "/h"}, "/a"),
        ({"XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/debuginfod_client"),
        ({"HOME": "/h"}, "/h/.cache/debuginfod_client"),
    ],
)
def test_the_cache_is_elfutils(environ: dict[str, str], folder: str):
    assert str(Debuginfod(environ, lambda _level, _text: None).cache) == folder


def test_a_file_arrives_once(client: Callable[..., Debuginfod], server: Server):
    one = client()
    one.want(HAS)
    wait_for((one.cache / HAS / "debuginfo").exists)
    arrived: list[str] = []
    wait_for(lambda: arrived.extend(one.arrived(len(arrived))) or arrived)
    one.want(HAS)
    assert arrived == [HAS]
    assert one.arrived(1) == []
    assert server.asked == [HAS]
    assert [path.name for path in (one.cache / HAS).iterdir()] == ["debuginfo"]
    again = client()
    again.want(HAS)
    wait_for(lambda: again.arrived(0) == [HAS])
    assert server.asked == [HAS]


def test_what_no_server_has_is_not_asked_for_again(
    client: Callable[..., Debuginfod], server: Server
):
    one = client()
    one.want(UNKNOWN)
    path = one.cache / UNKNOWN / "debuginfo"
    wait_for(path.exists)
    assert path.stat().st_size == 0
    again = client()
    again.want(UNKNOWN)
    again.want(HAS)
    wait_for(lambda: again.arrived(0) == [HAS])
    assert server.asked.count(UNKNOWN) == 1
    assert one.arrived(0) == []


def test_a_server_in_trouble_is_no_miss(client: Callable[..., Debuginfod]):
    one = client()
    one.want(FAILS)
    one.want(HAS)
    arrived: list[str] = []
    wait_for(lambda: arrived.extend(one.arrived(len(arrived))) or arrived)
    wait_for(lambda: not one._wanted)
    assert arrived == [HAS]
    assert not (one.cache / FAILS / "debuginfo").exists()


def test_files_that_are_too_big_are_left_there(client: Callable[..., Debuginfod]):
    one = client(DEBUGINFOD_MAXSIZE="50000")
    one.want(BIG)
    one.want(HAS)
    wait_for((one.cache / HAS / "debuginfo").exists)
    wait_for(lambda: not one._wanted)
    assert not (one.cache / BIG / "debuginfo").exists()


def test_what_is_wanted_most_comes_first(client: Callable[..., Debuginfod], server: Server):
    one = client()
    one.want(SLOW)
    wait_for(lambda: server.asked)
    for build_id in (UNKNOWN, HAS, HAS):
        one.want(build_id)
    server.may_answer.set()
    wait_for(lambda: len(server.asked) == 3)
    assert server.asked == [SLOW, HAS, UNKNOWN]


def test_nonsense_is_not_asked_for(client: Callable[..., Debuginfod], server: Server):
    one = client()
    for build_id in ("", "../../etc", "AA", "ab" * 200):
        one.want(build_id)
    one.want(HAS)
    wait_for(lambda: one.arrived(0) == [HAS])
    assert server.asked == [HAS]
