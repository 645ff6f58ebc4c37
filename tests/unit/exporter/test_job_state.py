# SPDX-License-Identifier: MIT
"""push/job_state.py: the table of states and events; and that no sequence of events loses a profile uncounted.

Context: tests.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gst_pyro_shim.push.answer import Answer, Fate
from gst_pyro_shim.push.endpoint import Endpoint
from gst_pyro_shim.push.job_state import Event, ForbiddenEventError, JobState, State
from gst_pyro_shim.push.last_flush import LastFlush
from gst_pyro_shim.push.outbox import Outbox
from gst_pyro_shim.push.push_job import PushJob
from gst_pyro_shim.push.sender import Sender
from gst_pyro_shim.push.spools import Spools
from gst_pyro_shim.settings.model import Settings

TABLE = """
            TAKE     STORED     SET_ASIDE  KEPT     REQUEUE  DROP
QUEUED      PUSHING  -          SPOOLING   -        -        DISCARDED
PUSHING     -        DELIVERED  SPOOLING   -        -        DISCARDED
SPOOLING    -        -          -          SPOOLED  QUEUED   DISCARDED
DELIVERED   -        -          -          -        -        -
SPOOLED     -        -          -          -        -        -
DISCARDED   -        -          -          -        -        -
"""


def expected():
    head, *rows = (line.split() for line in TABLE.strip().splitlines())
    return {
        (State[name], Event[event]): cell
        for name, *cells in rows
        for event, cell in zip(head, cells, strict=True)
    }


def test_each_event_in_each_state_leads_on_or_is_forbidden():
    table = expected()
    assert table.keys() == set(itertools.product(State, Event))
    for (start, event), following in table.items():
        state = JobState(start)
        if following == "-":
            with pytest.raises(ForbiddenEventError, match=f"{event.name} of a .* {start.name}"):
                state.advance(event)
            assert state.now is start
        else:
            assert state.advance(event) is state.now is State[following]


def test_each_state_is_reached_and_leads_to_an_end():
    steps = {(start, State[to]) for (start, _), to in expected().items() if to != "-"}
    ends = {state for state in State if state.is_end}
    assert ends == {State.DELIVERED, State.SPOOLED, State.DISCARDED}
    assert {to for _, to in steps} == set(State)
    for _ in State:
        ends |= {start for start, to in steps if to in ends}
    assert ends == set(State)


def test_each_push_of_a_profile_is_an_attempt_of_its_own():
    """Else the end would take a profile for sent that was only sent the time before."""
    endpoint = Endpoint.of(Settings())
    outbox = Outbox(lambda *_: None, None, endpoint.identity)
    sender = Sender(endpoint, outbox)

    def push(_body, _timeout_s, attempt):
        attempt.begin_send()
        return Answer(Fate.RETRY, "because", "because")

    sender.pusher.push = push
    outbox.put(PushJob(time.time_ns(), {}, b"profile"))
    sender.deliver(outbox.take(Event.TAKE), 1.0)
    assert not outbox.take(Event.TAKE).attempt.is_sent


class Deliveries(RuleBasedStateMachine):
    """One exporter after the other over one spool, its threads' steps in any order, on one thread."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.submitted = self.ended = 0
        self.start()

    def start(self):
        settings = Settings(server_url="http://127.0.0.1:1", spool_dir=self.folder.name)
        endpoint = Endpoint.of(settings)
        self.outbox = Outbox(lambda *_: None, settings.spool_dir, endpoint.identity)
        self.works = self.outbox._spools
        self.sender = Sender(endpoint, self.outbox)
        self.sender.start_thread = lambda body, _: body() is None
        self.answer(Fate.STORED)

    def answer(self, fate):
        self.sender.pusher.push = lambda *_: Answer(fate, "because", "because")

    @property
    def files(self):
        return len(list(Path(self.folder.name).rglob("*.push")))

    @rule()
    def submit(self):
        self.outbox.put(PushJob(time.time_ns(), {}, b"profile"))
        self.submitted += 1

    @rule(fate=st.sampled_from(Fate))
    def push(self, fate):
        self.answer(fate)
        job = self.outbox.take_from_disk(self.outbox.peek()) or self.outbox.take(Event.TAKE)
        if job is not None:
            self.sender.deliver(job, 1.0)

    @rule()
    def put_aside(self):
        job = self.outbox.take(Event.SET_ASIDE)
        if job is not None:
            self.sender.carry_out(job, self.outbox.spool)

    @rule()
    def put_back(self):
        job = self.outbox.take_from_disk(None)
        if job is not None:
            self.sender.set_aside(job)

    @rule()
    def disk_fails(self):
        self.outbox._spools = Spools(None, "")

    @rule()
    def disk_is_well_again(self):
        self.outbox._spools = self.works

    @rule(fate=st.sampled_from(Fate))
    def end(self, fate):
        self.answer(fate)
        self.outbox.close()
        LastFlush(self.sender, self.outbox).run(0.0)
        assert not self.outbox.queue
        self.ended += self.counted
        self.start()

    @rule(is_sent=st.booleans())
    @precondition(lambda self: self.outbox.peek() is not None)
    def end_amid_a_push(self, is_sent):
        """The thread that pushes has its answer only after the last flush has taken the profile over."""
        job = self.outbox.take(Event.TAKE)
        if is_sent:
            job.attempt.begin_send()
        self.outbox.close()
        LastFlush(self.sender, self.outbox).run(0.0)
        before = self.counted
        self.sender.deliver(job, 1.0)
        assert self.counted == before
        self.ended += before
        self.start()

    @property
    def counted(self):
        counters = self.outbox.counters
        dropped = sum(number for name, number in counters.items() if name.startswith("dropped_"))
        return counters["pushed_profiles"] + dropped

    @invariant()
    def every_profile_is_somewhere_or_counted(self):
        assert not self.outbox.held
        assert all(job.state.now is State.QUEUED for job in self.outbox.queue)
        assert self.submitted == self.ended + self.counted + len(self.outbox.queue) + self.files

    def teardown(self):
        self.folder.cleanup()


TestDeliveries = Deliveries.TestCase
TestDeliveries.settings = hypothesis_settings(
    max_examples=150, stateful_step_count=30, deadline=None
)
