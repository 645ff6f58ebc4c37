# SPDX-License-Identifier: MIT
"""Lets two programs that run for ever have the machine by turns of a second or less.

The machine drifts by a tenth within seconds, as its neighbours come and go: whole runs, one after the other, cannot
show a difference of one in a hundred. Some hundred turns as short as these can. And one start of a program differs from
the next by one in a hundred, for as long as it runs, for where its memory lies: so there are several starts.

To the kernel a stop is a sleep. A profiled thread's perf event does not rest for eight samples behind it, 80 ms: they
do not count.

Context: benchmark.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import statistics
import subprocess
import time
import uuid
from contextlib import ExitStack, suppress
from itertools import chain
from typing import TYPE_CHECKING, Self, TypeVar

import psutil

from benchmarks.measuring import Pairs, companions, progress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

TURN_S = 0.25
LIVE_TURN_S = 1.2  # 120 pictures, of which one is the slowest hundredth
_SETTLE_S = 0.12  # the caches are the other's; and see above
_LIVE_SETTLE_S = 0.3  # it has to catch up
_CAUGHT_UP_NS = 3_000_000
_CAUGHT_UP_LEFT_OUT = 10
_MARK = "GP_BENCH_PLAYER"
_START_S = 5.0  # pyroscope-io is up by then
_ROOM = 65536
_T = TypeVar("_T")


class Player:
    """A program that counts what it does, stopped unless it is its turn; its agent stops with it."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        """Starts `command`, with the descriptor of its count and of its records as last argument, 8 bytes each."""
        fd = os.memfd_create("count")
        os.ftruncate(fd, 8 * _ROOM)
        self._shared = memoryview(mmap.mmap(fd, 8 * _ROOM)).cast("q")
        self._mark = {_MARK: str(uuid.uuid4())}
        self._all: list[subprocess.Popen[bytes] | psutil.Process] = [
            subprocess.Popen(
                [*command, str(fd)],
                env={**environ, **self._mark},
                pass_fds=[fd],
                stdout=subprocess.DEVNULL,
            )
        ]
        os.close(fd)

    def stop(self) -> None:
        """Once it has come up; from then on it runs in its turns only."""
        self._all += companions(self._mark, but=self._all[0].pid)
        self._signal(signal.SIGSTOP)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._signal(signal.SIGKILL)
        self._all[0].wait()

    def rate(self) -> float:
        """What it counts in a second, while it has the machine."""
        self._signal(signal.SIGCONT)
        time.sleep(_SETTLE_S)
        start, first = time.perf_counter(), self._shared[0]
        time.sleep(TURN_S)
        value = (self._shared[0] - first) / (time.perf_counter() - start)
        self._signal(signal.SIGSTOP)
        return value

    def delays(self) -> list[int]:
        """What it records while it has the machine, from when it has caught up."""
        self._signal(signal.SIGCONT)
        time.sleep(_LIVE_SETTLE_S)
        first = self._shared[0]
        time.sleep(LIVE_TURN_S)
        all_ns = self._shared[first + 1 : self._shared[0] + 1].tolist()
        self._signal(signal.SIGSTOP)
        late = next((i for i, ns in enumerate(all_ns) if ns < _CAUGHT_UP_NS), len(all_ns))
        return all_ns[late + _CAUGHT_UP_LEFT_OUT :]

    def _signal(self, number: int) -> None:
        for one in self._all:
            with suppress(psutil.NoSuchProcess):
                one.send_signal(number)


def rates(
    command: Sequence[str], environs: Mapping[str, Mapping[str, str]], starts: int, turns: int
) -> Pairs:
    """Counts a second of the same program in each environment, a value a turn; `turns` of each start."""
    played = _play(command, environs, starts, turns, Player.rate)
    return Pairs({name: list(chain(*values)) for name, values in played.items()})


def p99s(
    command: Sequence[str], environs: Mapping[str, Mapping[str, str]], starts: int, turns: int
) -> Pairs:
    """99th percentile of the delays that the same program records in each environment, ns; a value a start."""
    played = _play(command, environs, starts, turns, Player.delays)
    return Pairs(
        {
            name: [statistics.quantiles(chain(*start), n=100)[98] for start in values]
            for name, values in played.items()
        }
    )


def _play(
    command: Sequence[str],
    environs: Mapping[str, Mapping[str, str]],
    starts: int,
    turns: int,
    measure: Callable[[Player], _T],
) -> dict[str, list[list[_T]]]:
    """What each environment's turns gave, start by start."""
    values: dict[str, list[list[_T]]] = {name: [[] for _ in range(starts)] for name in environs}
    for start in range(starts):
        with ExitStack() as stack:
            players = {
                name: stack.enter_context(Player(command, environ))
                for name, environ in environs.items()
            }
            time.sleep(_START_S)
            for player in players.values():
                player.stop()
            for turn in range(turns):
                progress(f"start {start + 1} of {starts}, turn {turn + 1} of {turns}")
                for name in random.sample(list(players), len(players)):
                    values[name][start].append(measure(players[name]))
    return values
