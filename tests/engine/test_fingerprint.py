"""The fingerprint: asked for at any time, over any message that the vocabulary allows, the same everywhere."""

import enum
import subprocess
import sys
from itertools import islice

import pytest

from kactors.engine.choices import FirstChoice
from kactors.engine.engine import STORY_EVENTS, Engine
from kactors.engine.inline_runtime import run_inline
from protocols.base import Message
from tests.engine.actors import Note, Sink


class Colour(enum.Enum):
    """Neither text nor a number."""

    RED = 1
    BLUE = 2


class Inner(Message):
    """Part of another."""

    number: int


class Wide(Message, sender=("tester",), receiver=("tester",)):
    """One field of each kind that a message may hold beyond text and numbers."""

    inner: Inner
    names: frozenset[str]
    colour: Colour
    huge: int


WIDE = Wide(inner=Inner(number=1), names=frozenset("abcdef"), colour=Colour.RED, huge=1 << 70)


class Talker(Sink):
    says = frozenset({Note, Wide})

    def receive(self, event):
        if type(event[4]) is Note:
            super().receive(event)


def machine_of(*messages: Message) -> Engine:
    machine = Engine(FirstChoice())
    talker = Talker(machine, "talker")
    for at_ns, message in enumerate(messages):
        machine.post(at_ns, talker, talker, message)
    return machine


def fingerprint(*messages: Message) -> str:
    machine = machine_of(*messages)
    run_inline(machine)
    return machine.fingerprint()


def test_asking_changes_nothing():
    notes = [Note(number=number) for number in range(3 * STORY_EVENTS // 2)]
    asked = machine_of(*notes)
    answers = []
    for event in asked.run_events():
        event[1].receive(event)
        answers += [asked.fingerprint(), asked.fingerprint()]
    assert answers[::2] == answers[1::2]
    assert len(set(answers)) == len(notes)
    assert asked.fingerprint() == asked.fingerprint() == fingerprint(*notes)


def test_every_kind_of_field_counts():
    others = [
        WIDE.model_copy(update=changed)
        for changed in (
            {"inner": Inner(number=2)},
            {"names": frozenset("abcdeg")},
            {"colour": Colour.BLUE},
            {"huge": 1 << 71},
        )
    ]
    assert len({fingerprint(message) for message in (WIDE, *others)}) == 5
    assert fingerprint(WIDE) == fingerprint(WIDE.model_copy())


def test_the_class_counts_too():
    class Twin(Message, sender=("tester",), receiver=("tester",)):
        """A Note by another name."""

        number: int

    class Both(Talker):
        says = frozenset({Note, Twin})

        def receive(self, event):
            """Nothing."""

    def of(message: Message) -> str:
        machine = Engine(FirstChoice())
        machine.post(0, both := Both(machine, "both"), both, message)
        run_inline(machine)
        return machine.fingerprint()

    assert of(Note(number=1)) != of(Twin(number=1))


PROGRAM = """
from kactors.engine.waits import find_cycle
from protocols.stop import WaitEdge
from tests.engine.test_fingerprint import WIDE, fingerprint
pairs = [(f"cpu{n}", f"table{n}") for n in range(8)]
waits = [("mm", cpu) for cpu, _ in pairs] + pairs + [(table, cpu) for cpu, table in pairs]
edges = [WaitEdge(waiter=waiter, resource="r", holder=holder, since=0, why="") for waiter, holder in waits]
print(fingerprint(WIDE), [(edge.waiter, edge.holder) for edge in find_cycle(edges)])
"""


def test_neither_fingerprint_nor_cycle_depends_on_the_hash_seed():
    outputs = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True, text=True
        ).stdout
        for seed in ("0", "1", "2", "3")
    }
    assert len(outputs) == 1, outputs


def test_the_story_keeps_at_least_its_length():
    machine = machine_of(*[Note(number=number) for number in range(STORY_EVENTS + 1)])
    assert machine.story() == ()
    run_inline(machine)
    story = machine.story()
    assert len(story) == STORY_EVENTS
    assert (story[0].split()[0], story[-1].split()[0]) == ("1", str(STORY_EVENTS))


@pytest.mark.parametrize("made", [1, STORY_EVENTS - 1, STORY_EVENTS, STORY_EVENTS + 1, 2 * STORY_EVENTS])
def test_a_run_that_rested_has_the_fingerprint_of_one_that_did_not(made):
    """Also at a multiple of the deliveries that are folded at a time: when they were folded is nobody's business."""
    rests, goes_on = (machine_of(*(Note(number=number) for number in range(made + 1))) for _ in range(2))
    for machine in (rests, goes_on):
        for event in islice(machine.run_events(), made):
            event[1].receive(event)
    before = rests.fingerprint()
    rests.horizon_ns = max(rests.now_ns, made - 1)
    run_inline(rests)
    assert rests.events == goes_on.events
    assert rests.fingerprint() == before == goes_on.fingerprint()
