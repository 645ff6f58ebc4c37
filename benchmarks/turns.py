# SPDX-License-Identifier: MIT
"""Lets two programs that run for ever have the machine by turns of a quarter of a second.

The machine drifts by a tenth within seconds, as its neighbours come and go: whole runs, one after the other, cannot
show a difference of one in a hundred. Some hundred turns as short as these can. And one start of a program differs from
the next by one in a hundred, for as long as it runs, for where its memory lies: so there are several starts.

Context: benchmark.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Self

import psutil

from benchmarks.measuring import Pairs, progress

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TURN_S = 0.25
_SETTLE_S = 0.03  # the caches are the other's
_MARK = "GP_BENCH_PLAYER"
_START_S = 5.0  # pyroscope-io is up by then


class Player:
    """A program that counts what it does, stopped unless it is its turn; its agent stops with it."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        """Starts `command`, with the descriptor of its 8 bytes of count as last argument."""
        fd = os.memfd_create("count")
        os.ftruncate(fd, 8)
        self._count = mmap.mmap(fd, 8)
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

    def start(self) -> None:
        """Lets it come up, then stops it."""
        time.sleep(_START_S)
        self._all += [one for one in psutil.process_iter() if self._is_ours(one)]
        self._signal(signal.SIGSTOP)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._signal(signal.SIGKILL)
        self._all[0].wait()

    def rate(self, seconds: float) -> float:
        """What it counts in a second, while it has the machine."""
        self._signal(signal.SIGCONT)
        time.sleep(_SETTLE_S)
        start, first = time.perf_counter(), self._now()
        time.sleep(seconds)
        value = (self._now() - first) / (time.perf_counter() - start)
        self._signal(signal.SIGSTOP)
        return value

    def _now(self) -> int:
        return int.from_bytes(self._count[:], sys.byteorder)

    def _is_ours(self, process: psutil.Process) -> bool:
        """The agent is nobody's child, but it has its host's environment."""
        try:
            return (
                process.pid != self._all[0].pid and self._mark.items() <= process.environ().items()
            )
        except psutil.Error:
            return False

    def _signal(self, number: int) -> None:
        for one in self._all:
            with suppress(psutil.NoSuchProcess):
                one.send_signal(number)


def rates(
    command: Sequence[str], environs: Mapping[str, Mapping[str, str]], starts: int, turns: int
) -> Pairs:
    """Counts a second of the same program in each environment, a value a turn; `turns` of each start."""
    values: dict[str, list[float]] = {name: [] for name in environs}
    for start in range(starts):
        with ExitStack() as stack:
            players = {
                name: stack.enter_context(Player(command, environ))
                for name, environ in environs.items()
            }
            for player in players.values():
                player.start()
            for turn in range(turns):
                if turn % 10 == 0:
                    progress(f"start {start + 1} of {starts}, turn {turn} of {turns}")
                for name in random.sample(list(players), len(players)):
                    values[name].append(players[name].rate(TURN_S))
    return Pairs(values)
