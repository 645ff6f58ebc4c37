# SPDX-License-Identifier: MIT
"""Delivers profiles: pushes, retries, spools, and makes a last flush that never outlives its deadline.

    submit ──> queue in memory ──> worker ──> server
                     ^               │  not stored, and may be stored later
                     └── no spool ───┴──> spool on disk, survives the host

One profile a request: a batch is not atomic. A push that was sent but never answered has most likely been stored, and
the server removes no duplicates: it is tried once more at most.

Context: agent. `submit` never blocks; everything that does runs on threads of the exporter's own.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Final

from gst_pyro_shim.protocol import PROFILE_NAME
from gst_pyro_shim.push.answer import Answer, Fate
from gst_pyro_shim.push.attempt import Attempt, Pusher
from gst_pyro_shim.push.backoff import Backoff
from gst_pyro_shim.push.endpoint import SPY_NAME, Endpoint
from gst_pyro_shim.push.outbox import Outbox
from gst_pyro_shim.push.push_job import PushJob
from gst_pyro_shim.push.spool_entry import MAX_AGE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gst_pyro_shim.push.outbox import Log
    from gst_pyro_shim.settings.model import Settings

PUSH_TIMEOUT_S: Final = 10.0
"""A healthy server answers within 0.5 s, its worst normal case is 4.5 s; below 5 s one gives up on stored profiles."""
FLUSH_CONNECTIONS: Final = 32
INSURE_AFTER: Final = 0.4
"""Share of the last flush's time after which what is on its way is put on disk as well."""
IDLE_S: Final = 60.0
"""How often the spool is looked into when there is nothing else to do: other processes leave things there."""


class Exporter:
    """Pushes profiles to the server that the settings name.

    Counters: `pushed_profiles`, `pushed_bytes` (on the wire), `from_spool` (of the pushed, those that had waited on
    disk), `spooled` (written to disk), `failed_pushes` (attempts), `unconfirmed` (attempts without an answer),
    `dropped_<reason>`.
    """

    def __init__(self, settings: Settings, log: Log) -> None:
        """Opens the spool and starts the worker, which first delivers what an earlier run left.

        Args:
            settings: name the server.
            log: takes a level and a line.
        """
        self._max_age_s = MAX_AGE_S
        self._pusher = Pusher(Endpoint.of(settings))
        self._labels = {
            **settings.tags,
            "service_name": settings.tracer_name,
            "pyroscope_spy": SPY_NAME,
        }
        self._box = Outbox(log, settings.spool_dir, self._pusher.endpoint.identity)
        self._changed = self._box.changed
        self._in_flight: dict[PushJob, Attempt] = {}
        self._pushing = 0  # threads inside a push
        self._backoff = Backoff()
        self._closing = False
        self._given_up = False  # close() pushes no more
        self._start(self._work, "gst-pyro-push")

    @property
    def counters(self) -> dict[str, int]:
        """A copy of all counts so far."""
        return self._box.counters

    def warm_up(self) -> None:
        """Loads OpenSSL where https is spoken. Call it before an exit handler that calls `close` is registered."""
        self._pusher.warm_up()

    def submit(self, profile_bytes: bytes, *, name: str = PROFILE_NAME, start_ns: int) -> None:
        """Takes a profile for delivery; returns at once.

        Args:
            profile_bytes: plain pprof within the server's limits (`profile.split`).
            name: the series' `__name__`.
            start_ns: wall clock at the window's start; decides when it is too old.
        """
        self._box.put(PushJob(start_ns, {**self._labels, "__name__": name}, profile_bytes))

    def close(self, deadline_s: float) -> None:
        """Pushes what is left, all at once, and puts what the server does not take in time on disk.

        Returns after at most `deadline_s` seconds, however dead server or disk are.
        """
        end = time.monotonic() + deadline_s
        push_until = end - min(0.05, deadline_s / 4)
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._box.close()
            # A server known to be silent would cost the host the whole deadline for nothing.
            self._given_up = self._backoff.is_silent and self._box.has_spool
            wanted = 0 if self._given_up else len(self._box.queue) + len(self._box.own)
            share = 0.0 if self._given_up else 1.0
        for _ in range(min(FLUSH_CONNECTIONS, wanted)):
            if not self._start(lambda: self._flush(push_until), "gst-pyro-flush"):
                break
        # A healthy server answers at the very end of what time there is: what is on its way gets a place on disk
        # meanwhile, which it loses when the answer comes.
        with self._changed:
            flushed = self._changed.wait_for(self._flushed, share * deadline_s * INSURE_AFTER)
        if share and not flushed:
            self._start(self._insure, "gst-pyro-insure")
        with self._changed:
            self._changed.wait_for(self._flushed, share * (push_until - time.monotonic()))
            left = self._abandon()
        if left and not self._start(lambda: self._keep_all(left), "gst-pyro-spool"):
            self._keep_all(left)
        # Pushes too: what follows this may be the exit handlers, OpenSSL's among them.
        with self._changed:
            self._changed.wait_for(
                lambda: not (left or self._in_flight or self._pushing),
                max(0.0, end - time.monotonic()),
            )
            # What is in flight now is with a disk that does not answer.
            lost = len(left) + len(self._in_flight)
            left.clear()
        if lost:
            self._box.drop("not_delivered", "the disk did not take it before the end", lost)

    def _flushed(self) -> bool:
        """Lock held. What is under way is waited for even where nothing new is begun."""
        rest = not self._given_up and (self._box.queue or self._box.own)
        return not (rest or self._in_flight)

    def _abandon(self) -> list[PushJob]:
        """Lock held. Ends the flush: what nobody has settled yet is close()'s, to be kept on disk."""
        self._given_up = True
        left = []
        while (waiting := self._box.next_in_memory()) is not None:
            left.append(waiting)
        for job, attempt in list(self._in_flight.items()):
            if job.settled:
                continue
            job.abandoned = True
            left.append(job)
            del self._in_flight[job]
            attempt.abort()
            if attempt.is_sent:
                job.hopeless, job.unconfirmed = job.unconfirmed, True
        return sorted(left, key=lambda job: job.start_ns)

    def _insure(self) -> None:
        with self._changed:
            jobs = [job for job in self._in_flight if job.claim is None]
        for job in jobs:
            claim = self._box.write(job, unconfirmed=True)
            if claim is None:
                return
            with self._changed:
                is_wanted = job in self._in_flight and not job.settled and not job.abandoned
                if is_wanted:
                    job.claim = claim
                    job.insured = True
            if not is_wanted:
                claim.spool.remove(claim)

    def _keep_all(self, left: list[PushJob]) -> None:
        """The newest first: should the disk be too slow, the oldest are lost."""
        while True:
            with self._changed:
                if not left:
                    self._changed.notify_all()
                    return
                job = left.pop()
                self._in_flight[job] = Attempt()
            with self._landing(job):
                if job.hopeless:
                    self._box.drop("unconfirmed", "sent twice, and the end came before an answer")
                    self._box.forget(job)
                else:
                    self._box.keep_unanswered(job, self._pusher.endpoint.url)

    def _start(self, body: Callable[[], None], name: str) -> bool:
        def guarded() -> None:
            try:
                body()
            except Exception as error:  # noqa: BLE001  no traceback on the host's terminal
                self._box.say("internal", "error", f"delivery failed: {error!r}")

        try:
            threading.Thread(target=guarded, name=name, daemon=True).start()
        except RuntimeError:
            self._box.say("thread", "warning", "no thread can be started for pushing")
            return False
        return True

    def _work(self) -> None:
        """The worker: one profile after the other, until close() begins."""
        while not self._closing:
            try:
                self._box.sweep()
                while (job := self._next()) is not None:
                    self._deliver(job, PUSH_TIMEOUT_S)
            except Exception as error:  # noqa: BLE001  whatever this is, it must not end the deliveries
                self._box.say("internal", "error", f"delivery failed: {error!r}; it goes on")
                with self._changed:
                    self._changed.wait(1.0)

    def _next(self) -> PushJob | None:
        """Waits for the next profile to try; None once close() has begun.

        While the server is away, what comes in goes straight to disk, where a crash of the host cannot take it.
        """
        while True:
            with self._changed:
                if self._closing:
                    return None
                away_s = self._backoff.remaining_s
                job = self._take() if away_s > 0 and self._box.has_spool else None
                if away_s > 0 and job is None:
                    self._changed.wait(away_s)
                    continue
                newest = self._box.peek()
            if job is not None:
                if self._settle_first(job):
                    with self._landing(job):
                        self._box.keep(job)
                continue
            job = self._box.next_on_disk(newest)
            with self._changed:
                if not self._closing:
                    if job is None:
                        job = self._take()
                    else:
                        self._in_flight[job] = Attempt()
                    if job is not None:
                        return job
                    self._changed.wait(IDLE_S)
            if job is not None:
                self._box.keep(job)

    def _take(self) -> PushJob | None:
        """Lock held."""
        job = self._box.next_in_memory()
        if job is not None:
            self._in_flight[job] = Attempt()
        return job

    def _flush(self, until: float) -> None:
        """One of the threads of close()."""
        while True:
            with self._changed:
                if self._given_up or time.monotonic() >= until:
                    return
                job = self._take()
            if job is None:
                job = self._box.next_of_own()
                if job is None:
                    return
                with self._changed:
                    self._in_flight[job] = Attempt()
            self._deliver(job, until - time.monotonic())

    def _deliver(self, job: PushJob, timeout_s: float) -> None:
        """One attempt, and what follows from it."""
        answer = self._attempt(job, timeout_s)
        if self._settle_first(job):
            self._note(answer)
            with self._landing(job):
                self._box.settle(job, answer, self._pusher.endpoint.url)

    def _settle_first(self, job: PushJob) -> bool:
        """Whether the job's fate is the caller's to decide: close() may have been before."""
        with self._changed:
            job.settled = not job.abandoned
            return job.settled

    @contextlib.contextmanager
    def _landing(self, job: PushJob) -> Iterator[None]:
        """While its fate is carried out; by a fault of ours it may be lost, but not without a count."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  whatever this is, it must not end the deliveries
            self._box.drop("internal", f"{type(error).__name__}: {error}")
        with self._changed:
            self._in_flight.pop(job, None)
            self._changed.notify_all()

    def _attempt(self, job: PushJob, timeout_s: float) -> Answer:
        if job.age_s > self._max_age_s:
            text = f"older than {self._max_age_s / 60:.0f} minutes"
            return Answer(Fate.REFUSED, "too_old", text)

        with self._changed:
            attempt = self._in_flight.get(job)
            if attempt is None:
                return Answer(Fate.RETRY, "abandoned", "the end came first")
            self._pushing += 1
        try:
            return self._pusher.push(job.body(), timeout_s, attempt)
        except Exception as error:  # noqa: BLE001  the worker must outlive whatever this is
            return Answer(Fate.SERVER_ERROR, "internal", f"{type(error).__name__}: {error}")
        finally:
            with self._changed:
                self._pushing -= 1
                self._changed.notify_all()

    def _note(self, answer: Answer) -> None:
        """What an answer says about the server, as opposed to the profile."""
        if answer.reason == "too_old":
            return  # the server was not asked
        with self._changed:
            came_back = self._backoff.note(answer)
            if self._closing and answer.fate in {Fate.RETRY, Fate.PAUSE}:
                # Nobody there: the others need not find out for themselves.
                self._given_up = True
        if came_back:
            self._box.say_well(f"{self._pusher.endpoint.url} takes profiles again")
