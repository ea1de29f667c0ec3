"""Simultaneous arrivals: which orders choices can bring about, and which one choice 0 is."""

from collections.abc import Sequence

from hypothesis import given, strategies as st

from kactors.engine.choices import FirstChoice, RecordingChoices, SeededChoices
from kactors.engine.engine import Engine
from kactors.engine.inline_runtime import run_inline
from tests.engine.actors import Note, Sink


def order(senders: Sequence[int], choices) -> list[int]:
    """Post one message for each sender named, all for one instant; return the numbers in the order of arrival."""
    machine = Engine(choices)
    sink = Sink(machine, "sink")
    parties = [Sink(machine, f"sender{number}") for number in range(4)]
    for number, sender in enumerate(senders):
        machine.post(9, sink, parties[sender], Note(number=number))
    run_inline(machine)
    return [number for _, _, number in sink.heard]


@given(st.lists(st.integers(0, 3), max_size=30))
def test_choice_0_is_the_order_of_posting(senders):
    assert order(senders, FirstChoice()) == list(range(len(senders)))


def test_every_order_that_keeps_each_senders_own_can_come_about():
    seen = {tuple(order([0, 1, 0, 2], SeededChoices(seed))) for seed in range(300)}
    # 4! orders, of which half keep sender 0's first message before its second.
    assert len(seen) == 12
    assert all(one.index(0) < one.index(2) for one in seen)


def test_a_sender_alone_and_messages_to_different_actors_are_no_choice():
    recording = RecordingChoices(SeededChoices(1))
    assert order([0, 0, 0], recording) == [0, 1, 2]
    machine = Engine(recording)
    one, other = Sink(machine, "one"), Sink(machine, "other")
    machine.post(5, one, one, Note(number=1))
    machine.post(5, other, other, Note(number=2))
    run_inline(machine)
    assert recording.picks == []


def test_the_picks_offer_as_many_as_there_are_senders_left():
    recording = RecordingChoices(FirstChoice())
    order([0, 1, 2, 0], recording)
    # After the first of sender 0 its second is on offer; the last one is no choice.
    assert [(label, n) for label, n, _ in recording.picks] == [("tie", 3), ("tie", 3), ("tie", 2)]
