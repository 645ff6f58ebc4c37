# SPDX-License-Identifier: MIT
"""Delivers profiles: pushes, retries, spools, and makes a last flush that never outlives its deadline.

    submit ──> queue in memory ──> worker ──> server
                     ^               │  not stored, and may be stored later
                     └── no spool ───┴──> spool on disk, survives the host

One profile a request: a batch is not atomic. A push that was sent but never answered has most likely been stored, and
the server removes no duplicates: such a profile is pushed once more at most.

Context: agent. `submit` never blocks; everything that does runs on threads of the exporter's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gst_pyro_shim.protocol import PROFILE_NAME
from gst_pyro_shim.push.endpoint import SPY_NAME, Endpoint
from gst_pyro_shim.push.job_state import Event
from gst_pyro_shim.push.last_flush import LastFlush
from gst_pyro_shim.push.outbox import Outbox
from gst_pyro_shim.push.push_job import PushJob
from gst_pyro_shim.push.sender import Sender

if TYPE_CHECKING:
    from gst_pyro_shim.push.notices import Log
    from gst_pyro_shim.settings.model import Settings

PUSH_TIMEOUT_S: Final = 10.0
"""A healthy server answers within 0.5 s, in its worst normal case within 4.5 s: below 5 s that one would be missed."""
IDLE_S: Final = 60.0
"""How often an idle worker looks into the spool: other processes put profiles there."""


class Exporter:
    """Pushes profiles to the server that the settings name.

    Counters: `pushed_profiles`, `pushed_bytes` (on the wire), `from_spool` (of the pushed, those that had waited on
    disk), `spooled` (written to disk), `failed_pushes` (attempts), `unconfirmed` (attempts without an answer),
    `dropped_<reason>`.
    """

    def __init__(self, settings: Settings, log: Log) -> None:
        """Starts the worker, which first delivers what an earlier run left in the spool.

        Args:
            settings: name the server.
            log: takes a level and a line.
        """
        endpoint = Endpoint.of(settings)
        self._labels = {
            **settings.tags,
            "service_name": settings.tracer_name,
            "pyroscope_spy": SPY_NAME,
        }
        self._outbox = Outbox(log, settings.spool_dir, endpoint.identity)
        self._sender = Sender(endpoint, self._outbox)
        self._changed = self._outbox.changed
        self._sender.start_thread(self._work, "gst-pyro-push")

    @property
    def counters(self) -> dict[str, int]:
        """A copy of all counts so far."""
        return self._outbox.counters

    def warm_up(self) -> None:
        """Loads OpenSSL where https is spoken. Call it before an exit handler that calls `close` is registered."""
        self._sender.pusher.warm_up()

    def submit(self, profile_bytes: bytes, *, name: str = PROFILE_NAME, start_ns: int) -> None:
        """Takes a profile for delivery; returns at once.

        Args:
            profile_bytes: plain pprof within the server's limits (pprof/encode.py: `split`).
            name: the series' `__name__`.
            start_ns: wall clock at the window's start; decides when it is too old.
        """
        self._outbox.put(PushJob(start_ns, {**self._labels, "__name__": name}, profile_bytes))

    def close(self, deadline_s: float) -> None:
        """Pushes what is left, all at once, and puts what the server does not take in time on disk.

        Returns after at most `deadline_s` seconds, however dead server or disk are.
        """
        with self._changed:
            if self._outbox.is_closed:
                return
            self._outbox.close()
        LastFlush(self._sender, self._outbox).run(deadline_s)

    def _work(self) -> None:
        """The worker: one profile after the other, until close() begins."""
        while not self._outbox.is_closed:
            try:
                self._outbox.sweep()
                while (job := self._next()) is not None:
                    self._sender.deliver(job, PUSH_TIMEOUT_S)
            except Exception as error:  # noqa: BLE001  whatever this is, it must not end the deliveries
                text = f"delivery failed: {error!r}; it goes on"
                self._outbox.notices.once("internal", "error", text)
                with self._changed:
                    self._changed.wait(1.0)

    def _next(self) -> PushJob | None:
        """Waits for the next profile to push; None once close() has begun.

        While the server is away, what comes in goes straight to disk, where a crash of the host cannot take it.
        """
        while True:
            with self._changed:
                if self._outbox.is_closed:
                    return None
                away_s = self._sender.backoff.remaining_s
                aside = None
                if away_s > 0 and self._outbox.has_spool:
                    aside = self._outbox.take(Event.SET_ASIDE)
                if away_s > 0 and aside is None:
                    self._changed.wait(away_s)
            if aside is not None:
                self._sender.carry_out(aside, self._outbox.spool)
            if away_s > 0:
                continue
            job = self._outbox.take_from_disk(before=self._outbox.peek())
            with self._changed:
                if not self._outbox.is_closed:
                    job = job or self._outbox.take(Event.TAKE)
                    if job is not None:
                        return job
                    self._changed.wait(IDLE_S)
            if job is not None:
                self._sender.set_aside(job)
