# SPDX-License-Identifier: MIT
"""The agent of one host: empties the ring, makes a profile of each window, delivers it, and ends within a second.

Context: agent, one thread; in the host's process (embedded), in one beside it or in the controller, where it outlives a
host that was killed (hosts.py).
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gst_pyro_shim.pprof import pad_links
from gst_pyro_shim.pprof.model import Profile
from gst_pyro_shim.pprof.run_statistics import RunStats
from gst_pyro_shim.python.cpu_time import python_profile
from gst_pyro_shim.segment.segment import AGENT_RUNNING

if TYPE_CHECKING:
    from gst_pyro_shim.agent.host import Host
    from gst_pyro_shim.agent.log import Log
    from gst_pyro_shim.agent.window import Window
    from gst_pyro_shim.push.delivery import Delivery
    from gst_pyro_shim.python.samples import PythonSamples
    from gst_pyro_shim.segment.rows import Label
    from gst_pyro_shim.segment.segment import Segment
    from gst_pyro_shim.settings.model import Settings
    from gst_pyro_shim.symbols.debuginfod import Debuginfod
    from gst_pyro_shim.symbols.elf_cache import ElfCache

DRAIN_S: Final = 0.25
"""How long samples lie in the ring, and how late the end of a host that was killed is noticed."""
CLOSE_S: Final = 0.5
"""A poller that is alive closes all accounts within milliseconds."""
FLUSH_S: Final = 0.9
SETTLE_S: Final = 0.01
"""For handlers that are in flight at the stop."""
_DWARF_UNTIL_S: Final = 0.3
_MAX_LINKS: Final = 65_536
"""Told already and remembered; beyond it some are told again."""


class Agent:
    """One run of the drain loop.

    Attributes:
        is_dismissed: set by others: to end although the host lives on.
        cpu_before_s: CPU that it took for this agent to be there.
    """

    def __init__(
        self,
        segment: Segment,
        settings: Settings,
        host: Host,
        delivery: Delivery,
        log: Log,
        *,
        servers: Debuginfod | None,
        elf_files: ElfCache | None,
    ) -> None:
        """Prepares; `run` works.

        Args:
            segment: of the host.
            settings: the user's.
            host: whether it is still there.
            delivery: where profiles go.
            log: takes a level and a line.
            servers: who fetches debug files.
            elf_files: shared with other agents.
        """
        from gst_pyro_shim.agent.naming import Names
        from gst_pyro_shim.agent.window import Window
        from gst_pyro_shim.settings.model import NAMES_IN_A_FILE
        from gst_pyro_shim.symbols.symbolize import Symbolizer

        self._segment = segment
        self._settings = settings
        self._interval_s = settings.upload_interval
        self._host = host
        self._delivery = delivery
        self._log = log
        self._symbolizer = Symbolizer(segment.code, servers, elf_files)
        limit = settings.auto_names
        self._names = Names(
            limit if delivery.pushes else max(limit, NAMES_IN_A_FILE), segment.labels.is_gone
        )
        self._said_folded = False
        self._window: Window = Window(segment, self._symbolizer, self._names)
        self._links: set[tuple[Label, Label]] = set()
        self._said_first = False
        self._notes: list[str] = []
        self._python: PythonSamples | None = None
        self._may_take_python = host.home != "embedded"
        self.is_dismissed = False
        self.cpu_before_s = 0.0

    def run(self) -> None:
        """Until the host stops, is gone, or is of no interest any more; a fault loses nothing that was taken."""
        try:
            self._run()
        except Exception:
            self._delivery.deliver(Profile(0, 0, 0), final=True)
            self._delivery.close(time.monotonic() + FLUSH_S, lambda: Profile(0, 0, 0))
            raise

    def _run(self) -> None:
        segment = self._segment
        seen = segment.wake
        segment.set_agent_state(AGENT_RUNNING)
        due = time.monotonic() + self._interval_s
        while not (segment.is_stopping or self._host.has_ended or self.is_dismissed):
            seen = segment.wait(seen, min(DRAIN_S, max(0.0, due - time.monotonic())))
            self._drain()
            is_due = self._look_at_python() or time.monotonic() >= due
            if is_due and not segment.is_stopping:
                self._end_window()
                due = time.monotonic() + self._window_s()
        if self.is_dismissed and not segment.is_stopping:
            segment.request_close(CLOSE_S)
        self._stop(time.monotonic() + FLUSH_S)

    def _window_s(self) -> float:
        """After how long a window ends by itself; pyroscope-io's push ends it before, where one will come."""
        return max(self._interval_s, self._python.patience_s if self._python is not None else 0.0)

    def _look_at_python(self) -> bool:
        """Once the host runs Python, takes what its pyroscope-io sees there; True: the window is to end with it."""
        if self._python is not None:
            return self._python.look()
        if self._may_take_python and self._segment.has_entered_python:
            # Imported here: most hosts never need it.
            from gst_pyro_shim.python.samples import offer

            self._may_take_python = False
            self._python = offer(self._segment, self._settings, self._delivery, self._log)
        return False

    def _drain(self, *, final: bool = False) -> None:
        self._window.drain(final=final)
        if self._window.has_samples and not self._said_first:
            self._said_first = True
            self._log("info", "the first sample has come")

    def _end_window(self) -> None:
        if not self._segment.request_close(CLOSE_S) and self._host.has_left():
            return
        self._drain()
        self._deliver(final=False)

    def _stop(self, end: float) -> None:
        """Delivers what is left; over at `end` (time.monotonic)."""
        if self._host.home == "embedded":  # whose end waits
            self._symbolizer.deadline = end - FLUSH_S + _DWARF_UNTIL_S
        self._drain()
        if self._segment.tail != self._segment.head:
            time.sleep(SETTLE_S)
        self._drain(final=True)
        if self._python is not None:
            self._python.close()
        lives = not self._segment.is_stopping and not self._host.has_ended
        if not self._segment.is_stopping and not lives:
            self._notes.append(
                "The process ended without a last word: its CPU time is what its threads had"
                " written down by then."
            )
        stats = self._deliver(final=True, lives=lives)

        def last_word() -> Profile:
            counters = stats.counters | self._delivery.counters
            comment = replace(stats, counters=counters).to_comment()
            return Profile(stats.start_ns, 0, 0, [], [comment])

        self._delivery.close(end, last_word)
        self._log("info", _totals(stats, self._delivery.counters))

    def _deliver(self, *, final: bool, lives: bool = False) -> RunStats:
        profile = self._window.close(final=final)
        seen = self._python.take() if self._python is not None else None
        if (python := python_profile(profile, seen)).samples:  # first: the file has both at once
            self._delivery.deliver_python(python)
        stats = self._stats(final=final and not lives)
        profile.comments.append(stats.to_comment())
        profile.comments.extend(self._new_links())
        self._delivery.deliver(profile, final=final)
        if self._names.folded and not self._said_folded:
            self._said_folded = True
            self._log(
                "warning",
                "there are many elements whose names GStreamer made, and further ones count together:"
                f" {self._names.example}. GST_PYROSCOPE_AUTO_NAMES sets how many are told apart",
            )
        self._log(
            "debug",
            f"window of {profile.duration_ns / 1e9:.1f} s: {len(profile.samples)} stacks,"
            f" {sum(one.cpu_ns for one in profile.samples) / 1e9:.3f} s of CPU",
        )
        return stats

    def _new_links(self) -> list[str]:
        """The comment on those that were met since the last window, if any."""
        found = dict.fromkeys(self._window.take_links())
        new = [link for link in found if link not in self._links]
        if len(self._links) > _MAX_LINKS:
            self._links.clear()
        self._links.update(new)
        comment = pad_links.to_comment(new)
        return [comment] if comment else []

    def _stats(self, *, final: bool) -> RunStats:
        segment, window = self._segment, self._window
        counters = segment.counters()
        counters["threads_seen"] = segment.threads_seen
        counters["names_folded"] = self._names.folded
        counters |= window.dropped | self._delivery.counters
        if final and self._python is not None:
            counters |= self._python.counters()
        return RunStats(
            pid=segment.pid,
            start_ns=segment.start_real_ns,
            program=segment.program,
            duration_s=(window.end_ns - segment.start_mono_ns) / 1e9,
            process_cpu_s=window.process_ns / 1e9,
            sample_clock=segment.sample_clock,
            sample_rate=segment.sample_rate,
            counters=counters,
            named_weight=window.named_weight,
            total_weight=window.weight,
            agent_home=self._host.home,
            agent_cpu_s=self._cpu_s(),
            notes=list(self._notes),
            final=final,
        )

    def _cpu_s(self) -> float:
        return 0.0 if self._host.home == "embedded" else self.cpu_before_s + time.thread_time()


def _totals(stats: RunStats, counters: dict[str, int]) -> str:
    dropped = {
        name: value
        for name, value in (stats.counters | counters).items()
        if value and name.startswith("dropped_")
    }
    named = 100 * stats.named_weight / stats.total_weight if stats.total_weight else 0.0
    return (
        f"done: {stats.process_cpu_s:.3f} s of CPU in {stats.duration_s:.1f} s,"
        f" {stats.total_weight} samples, {named:.1f} % named,"
        f" {counters.get('pushed_profiles', 0)} profiles pushed,"
        f" dropped: {dropped or 'nothing'}"
    )
