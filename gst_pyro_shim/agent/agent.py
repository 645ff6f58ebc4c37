# SPDX-License-Identifier: MIT
"""The agent of one host: drains its ring, makes a profile of each window, and delivers it.

An agent passes through these states. One thread takes it from the second to the last: a thread of the host (embedded),
else one thread for each host.

    waiting for a segment   A host hands its segment over (reception.py). An embedded agent, and the first host of an
                            agent's process, bring theirs along (`start.run`, `hosts.run`).
    starting                `start.prepare` reads the settings. Wrong settings lead to "refused".
    running                 `Agent._run_windows` drains every DRAIN_S, or REST_S while no record comes. Each upload
                            interval, and when pyroscope-io has pushed, it closes a window and delivers the profile.
                            It ends when the shim stops, when the host has ended, or when `is_dismissed` is set.
    last window             `Agent._end_run` drains what signal handlers in flight still write, and delivers a last
                            profile, whose statistics are final unless the host lives on.
    delivering              `Delivery.close` pushes until FLUSH_S after the end of "running"; the rest is spooled.
    done                    AGENT_DONE is published: a host that waits for its agent goes on.
    refused                 In place of "done", after wrong settings or an error: AGENT_REFUSED is published, and the
                            shim becomes inert.

Other threads of an agent's process: `gst-pyro-accept` (reception.py), the exporter's (push/), `gst-pyro-names`
(symbols/debuginfod.py), `gst-pyro-collector` (python/collector.py). Of an Agent they set `is_dismissed` only.

Context: agent, one thread; in the host's process (embedded), or outside it, in a process of its own or in the
controller (hosts.py), where it outlives a host that was killed.
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
    from gst_pyro_shim.push.delivery import Delivery
    from gst_pyro_shim.python.samples import PythonSamples
    from gst_pyro_shim.segment.rows import Label
    from gst_pyro_shim.segment.segment import Segment
    from gst_pyro_shim.settings.model import Settings
    from gst_pyro_shim.symbols.debuginfod import Debuginfod
    from gst_pyro_shim.symbols.elf_cache import ElfCache

DRAIN_S: Final = 0.25
"""How long records stay in the ring at most, and how late the end of a killed host is noticed."""
REST_S: Final = 2.0
"""The same while no record comes. The first sample wakes the shim's poller, and that the agent."""
CLOSE_S: Final = 0.5
"""How long the shim's poller may take to close all accounts; one that runs takes milliseconds."""
FLUSH_S: Final = 0.9
"""How long the last profile may be pushed: hosts that wait for their agent wait a second."""
SETTLE_S: Final = 0.01
"""For signal handlers that still write a record when the shim stops."""
_DWARF_UNTIL_S: Final = 0.3
"""How long an embedded agent reads debug information after the stop."""
_MAX_LINKS: Final = 65_536
"""Links that are remembered as reported; beyond it some are reported again."""


class Agent:
    """Runs from the first drain to the last delivery.

    Attributes:
        is_dismissed: set by another thread: the agent is to end although its host lives on.
        cpu_before_s: CPU time that this process spent for the agent before it ran, s.
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
        """Prepares; `run` does the work.

        Args:
            segment: of the host.
            settings: of the host.
            host: whether it still exists.
            delivery: where profiles go.
            log: takes a level and a line.
            servers: fetches debug files; None: nothing is fetched.
            elf_files: shared with other agents; None: its own.
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
        self._window = Window(segment, self._symbolizer, self._names)
        self._reported_links: set[tuple[Label, Label]] = set()
        self._has_logged_first_sample = False
        self._has_logged_folding = False
        self._notes: list[str] = []
        self._python: PythonSamples | None = None
        self._may_offer_python = host.home != "embedded"
        self._is_busy = True
        self.is_dismissed = False
        self.cpu_before_s = 0.0

    def run(self) -> None:
        """Runs until the host stops or has ended, or the agent is dismissed.

        Raises:
            Exception: an error of our own. What earlier windows delivered is written and spooled before.
        """
        try:
            self._run_windows()
            self._end_run()
        except Exception:
            self._delivery.deliver(Profile(0, 0, 0), final=True)
            self._delivery.close(time.monotonic() + FLUSH_S, lambda: Profile(0, 0, 0))
            raise

    def _run_windows(self) -> None:
        segment = self._segment
        seen = segment.wake
        segment.set_agent_state(AGENT_RUNNING)
        due_s = time.monotonic() + self._interval_s
        while not (segment.is_stopping or self._host.has_ended or self.is_dismissed):
            pause_s = DRAIN_S if self._is_busy else REST_S
            seen = segment.wait(seen, min(pause_s, max(0.0, due_s - time.monotonic())))
            self._drain()
            is_due = self._python_has_pushed() or time.monotonic() >= due_s
            if is_due and not segment.is_stopping:
                self._end_window()
                due_s = time.monotonic() + self._max_window_s()

    def _max_window_s(self) -> float:
        """After how long a window ends by itself. Where pyroscope-io pushes, its push ends the window earlier."""
        return max(self._interval_s, self._python.patience_s if self._python is not None else 0.0)

    def _python_has_pushed(self) -> bool:
        """Whether pyroscope-io's push is to end the window; offers the host to run it once the host runs Python."""
        if self._python is not None:
            return self._python.look()
        if self._may_offer_python and self._segment.has_entered_python:
            # Imported here: most hosts never need it.
            from gst_pyro_shim.python.samples import offer

            self._may_offer_python = False
            self._python = offer(self._segment, self._settings, self._delivery, self._log)
        return False

    def wake(self) -> None:
        """Has the agent look at its host at once. MT-safe."""
        self._segment.end_wait()

    def _drain(self, *, final: bool = False) -> None:
        before = self._segment.tail
        self._window.drain(final=final)
        self._is_busy = self._segment.tail != before or self._python is not None
        if self._window.has_samples and not self._has_logged_first_sample:
            self._has_logged_first_sample = True
            self._log("info", "the first sample has come")

    def _end_window(self) -> None:
        if not self._segment.request_close(CLOSE_S) and self._host.has_left():
            return
        self._drain()
        self._deliver(final=False)

    def _end_run(self) -> None:
        """Makes and delivers the last window."""
        if self.is_dismissed and not self._segment.is_stopping:
            self._segment.request_close(CLOSE_S)
        end_s = time.monotonic() + FLUSH_S
        if self._host.home == "embedded":  # the host waits for it
            self._symbolizer.deadline = end_s - FLUSH_S + _DWARF_UNTIL_S
        self._drain()
        if self._segment.tail != self._segment.head:
            time.sleep(SETTLE_S)
        self._drain(final=True)
        if self._python is not None:
            self._python.close()
        host_lives = not self._segment.is_stopping and not self._host.has_ended
        if not self._segment.is_stopping and not host_lives:
            self._notes.append(
                "The process ended abruptly: its CPU time is what its threads had recorded by then."
            )
        stats = self._deliver(final=True, host_lives=host_lives)

        def last_statistics() -> Profile:
            counters = stats.counters | self._delivery.counters
            comment = replace(stats, counters=counters).to_comment()
            return Profile(stats.start_ns, 0, 0, [], [comment])

        self._delivery.close(end_s, last_statistics)
        self._log("info", _summary(stats, self._delivery.counters))

    def _deliver(self, *, final: bool, host_lives: bool = False) -> RunStats:
        """Closes the window and delivers its profile.

        Args:
            final: no window follows.
            host_lives: the process goes on without this agent.

        Returns:
            The statistics that the profile carries.
        """
        profile = self._window.close(final=final)
        seen = self._python.take() if self._python is not None else None
        if (python := python_profile(profile, seen)).samples:  # first: the file has both at once
            self._delivery.deliver_python(python)
        stats = self._stats(final=final and not host_lives)
        profile.comments.append(stats.to_comment())
        profile.comments.extend(self._new_links())
        self._delivery.deliver(profile, final=final)
        if self._names.folded and not self._has_logged_folding:
            self._has_logged_folding = True
            self._log(
                "warning",
                "GStreamer has made up the names of many elements, and further ones are counted by their factory:"
                f" {self._names.example}. GST_PYROSCOPE_AUTO_NAMES sets how many keep a name of their own",
            )
        self._log(
            "debug",
            f"window of {profile.duration_ns / 1e9:.1f} s: {len(profile.samples)} stacks,"
            f" {sum(one.cpu_ns for one in profile.samples) / 1e9:.3f} s of CPU",
        )
        return stats

    def _new_links(self) -> list[str]:
        """The comment for links that no profile has reported yet; empty without any."""
        found = dict.fromkeys(self._window.take_links())
        new = [link for link in found if link not in self._reported_links]
        if len(self._reported_links) > _MAX_LINKS:
            self._reported_links.clear()
        self._reported_links.update(new)
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
        is_embedded = self._host.home == "embedded"
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
            agent_cpu_s=0.0 if is_embedded else self.cpu_before_s + time.thread_time(),
            notes=list(self._notes),
            final=final,
        )


def _summary(stats: RunStats, counters: dict[str, int]) -> str:
    """The last line of an agent's log."""
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
