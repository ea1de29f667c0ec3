"""Driving the core loop: to an instant, between two deliveries, and what it then tells."""

from itertools import islice

import pytest

from kactors.engine.choices import FirstChoice
from kactors.engine.engine import END_OF_TIME_NS, STORY_EVENTS, Engine, Limits
from kactors.engine.inline_runtime import run_inline
from kactors.engine.observer import Observer
from tests.engine.actors import Happened, Note, Sink


class Ears(Observer):
    def __init__(self):
        self.heard = []
        self.delivered = 0

    def tracepoints(self):
        return {Happened: self.hear}

    def hear(self, _at_ns, _who, happened):
        self.heard.append(happened.number)

    def deliveries(self):
        return self.count

    def count(self, _event):
        self.delivered += 1


def ticking(limits=None, ears=None):
    """A sink that hears a note each 10 ns, and tells of it 5 ns later."""
    engine = Engine(FirstChoice(), limits or Limits())
    if ears is not None:
        engine.observe(ears)

    def tick(sink, message):
        engine.emit(engine.now_ns + 5, sink, Happened(number=message.number))
        if message.number < 6:
            engine.post(engine.now_ns + 10, sink, sink, Note(number=message.number + 1))

    sink = Sink(engine, "clock", tick)
    engine.post(0, sink, sink, Note(number=0))
    return engine, sink


def test_a_horizon_is_no_reason_to_stop():
    engine, sink = ticking()
    engine.horizon_ns = 25
    run_inline(engine)
    assert (engine.now_ns, engine.stop, len(sink.heard)) == (25, None, 3)
    engine.horizon_ns = END_OF_TIME_NS
    run_inline(engine)
    assert (engine.stop.kind, len(sink.heard)) == ("quiescent", 7)


def test_the_limit_is():
    engine, _ = ticking(Limits(until_ns=25))
    run_inline(engine)
    assert engine.stop.kind == "time"


def test_it_may_be_moved_between_two_events():
    engine, sink = ticking()
    for event in engine.run_events():
        event[1].receive(event)
        if event[4].number == 2:
            engine.horizon_ns = 30
    assert (engine.now_ns, engine.stop, len(sink.heard)) == (30, None, 4)


def test_what_is_posted_at_a_horizon_comes_first():
    engine, sink = ticking()
    engine.horizon_ns = 25
    run_inline(engine)
    engine.post(25, sink, sink, Note(number=100))
    assert engine.next_ns() == 25
    engine.horizon_ns = 30
    run_inline(engine)
    assert [number for _, _, number in sink.heard] == [0, 1, 2, 100, 3]


def test_settling_tells_what_comes_before_the_next_delivery_and_no_more():
    engine = Engine(FirstChoice())
    engine.observe(ears := Ears())
    sink = Sink(engine, "sink")
    engine.post(5, sink, sink, Note(number=0))
    engine.emit(5, sink, Happened(number=1))
    engine.emit(5, sink, Happened(number=2))
    engine.post(5, sink, sink, Note(number=3))
    engine.emit(5, sink, Happened(number=4))
    events = engine.run_events()
    event = next(events)
    assert ears.heard == []
    engine.settle()
    engine.settle()
    assert ears.heard == [1, 2]
    assert engine.next_ns() == 5
    assert [type(left[4]) for left in engine.pending(9)] == [Note, Happened]
    sink.receive(event)
    assert next(events)[4].number == 3
    assert list(events) == []
    assert ears.heard == [1, 2, 4]


def test_settling_at_the_end_of_an_instant_admits_the_daemons_timers_as_the_core_loop_would():
    engine = Engine(FirstChoice())
    sink = Sink(engine, "sink")
    for at_ns, number in ((5, 0), (20, 1)):
        engine.post(at_ns, sink, sink, Note(number=number))
    engine.post_background(10, sink, sink, Note(number=2))
    next(engine.run_events())
    engine.settle()
    assert [event[4].number for event in engine.pending(9)] == [2, 1]
    assert engine.pending(1) == engine.pending(9)[:1]


def test_with_only_daemons_left_nothing_comes_next():
    engine = Engine(FirstChoice())
    sink = Sink(engine, "sink")
    engine.post_background(10, sink, sink, Note(number=2))
    engine.settle()
    assert engine.next_ns() == END_OF_TIME_NS


def test_who_is_dismissed_hears_no_more():
    engine, _ = ticking(ears=(ears := Ears()))
    engine.horizon_ns = 22
    run_inline(engine)
    assert (ears.heard, ears.delivered) == ([0, 1], 3)
    engine.dismiss(ears)
    engine.horizon_ns = END_OF_TIME_NS
    run_inline(engine)
    assert (ears.heard, ears.delivered) == ([0, 1], 3)


@pytest.mark.parametrize("made", [1, STORY_EVENTS - 1, STORY_EVENTS, STORY_EVENTS + 1])
def test_a_run_that_rests_knows_what_is_next_also_where_the_story_is_folded(made):
    engine = Engine(FirstChoice(), Limits())
    sink = Sink(engine, "sink", lambda *_: None)
    notes = STORY_EVENTS + 6
    for number in range(notes):
        engine.post(10, sink, sink, Note(number=number))
    for event in islice(engine.run_events(), made):
        event[1].receive(event)
    engine.settle()
    assert engine.next_ns() == 10
    assert [event[4].number for event in engine.pending(notes)] == list(range(made, notes))
