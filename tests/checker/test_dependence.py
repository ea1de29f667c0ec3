"""What is declared independent commutes: in every state of small searches, for every two messages under way."""

from __future__ import annotations

import functools
from collections import Counter
from itertools import combinations

import pytest

from kactors.checker.dependence import TOUCHES, Dependence
from kactors.checker.shrink import successors
from kactors.checker.space import Channel, Happening, Move, Space, State
from kactors.checker.subject import Subject
from protocols.base import Message
from protocols.page_table import ReadPmd
from protocols.vma import ReadVma, SpfEnter
from tests.checker.scenes import BASE, OTHERS, SCENES, THREE_CPUS, subject

STATES_MAX = 4_000
ROUGH = ("broken-irqs-on-no-checks", "broken-no-checks")
"""Policies that come to states which a correct one never sees."""

RARE = {"NextScanRange", "ReadCpumask", "RestorePmd", "RetryWrite", "StopSpinning", "VmaAtomic"}
"""Declared, and not taken in any of the scenes: a timer's, POWER's, those of long waits, an experiment's."""

once = functools.cache(subject)
"""A scene's space is made once for all tests of this file."""


def reached(space: Space, states_max: int = STATES_MAX) -> list[State]:
    """Return the states that can be reached, breadth first, up to a number."""
    states, seen = [space.first], {space.first.number}
    for state in states:
        for _, after in successors(space, state):
            if after.number not in seen and len(states) < states_max:
                seen.add(after.number)
                states.append(after)
    return states


def moves_of(space: Space, state: State, channel: Channel) -> list[Move]:
    return [(channel, way) for way in range(len(space.head_steps(state, channel)))]


def what_differs(subject: Subject, state: State, one: Move, other: Move) -> str:
    """Return in which respect two moves do not commute; empty when they do."""
    space = subject.space
    left, right = space.move(state, one)[0], space.move(state, other)[0]
    if left.stop is not None or right.stop is not None:
        # Nothing follows a finding; taken later it must be found as well.
        return "" if finds_the_same(space, left, right, one, other) else "finding"
    for move, behind in ((one, right), (other, left)):
        if move[0] not in behind.channels or behind.queues[move[0]][0] != state.queues[move[0]][0]:
            return "what comes next"
        if len(space.head_steps(behind, move[0])) != len(space.head_steps(state, move[0])):
            return "ways"
    (both, second), (once_more, first) = space.move(left, other), space.move(right, one)
    # The exhaustive search names a point without the effects of what sleeps. Only acks have others when they come last.
    if {head(space, state, one), head(space, state, other)} != {"IpiAck"}:
        effect = subject.dependence.effect
        if (effect(first), effect(second)) != tuple(effect(space.move(state, move)[1]) for move in (one, other)):
            return "effect"
    for respect in ("nodes", "queues", "watched"):
        if getattr(both, respect) != getattr(once_more, respect):
            return respect
    return "" if _name(both) == _name(once_more) else "finding"


def finds_the_same(space: Space, left: State, right: State, one: Move, other: Move) -> bool:
    if left.stop is None:
        return _name(space.move(left, other)[0]) == _name(right)
    return right.stop is not None or _name(space.move(right, one)[0]) == _name(left)


def _name(state: State) -> str:
    return "" if state.stop is None else str(getattr(state.stop, "property", state.stop.kind))


def broken_pairs(subject: Subject, states_max: int = STATES_MAX) -> Counter[tuple[str, str, str]]:
    """Count what is declared independent and is not, by what differs and the two messages' names."""
    space, effect = subject.space, subject.dependence.effect
    found: Counter[tuple[str, str, str]] = Counter()
    for state in reached(space, states_max):
        moves = [move for channel in state.channels for move in moves_of(space, state, channel)]
        effects = {move: effect(space.move(state, move)[1]) for move in moves}
        for one, other in combinations(moves, 2):
            if one[0] == other[0] or subject.dependence.dependent(effects[one], effects[other]):
                continue
            if differs := what_differs(subject, state, one, other):
                first, second = sorted(head(space, state, move) for move in (one, other))
                found[differs, first, second] += 1
    return found


def head(space: Space, state: State, move: Move) -> str:
    return type(space.automata.vocabulary.items[state.queues[move[0]][0]][2]).__name__


@pytest.mark.parametrize(
    "policy", ["classic", "spf-v9", "spf-srcu", "spf-rcu", "spf-2021", "per-vma-6.4", "per-vma", *ROUGH]
)
@pytest.mark.parametrize("scene", SCENES)
def test_what_is_independent_commutes_in_every_state(scene: str, policy: str):
    searched = once(scene, policy)
    assert broken_pairs(searched) == {}
    assert searched.space.states > 30


@pytest.mark.parametrize("scene", OTHERS)
def test_what_is_independent_commutes_in_rarer_states(scene: str):
    assert broken_pairs(once(scene, "spf-v9")) == {}


@pytest.mark.parametrize("scene", THREE_CPUS)
def test_what_is_independent_commutes_on_three_cpus(scene: str):
    searched = subject(scene, cpus=3)
    assert broken_pairs(searched, 3_000) == {}


def test_the_scenes_bring_up_nearly_every_message_that_has_a_declaration():
    taken = taken_in(once("fault and munmap of all", "per-vma")) | taken_in(once("collapse", "per-vma"))
    for policy in ("spf-2021", "spf-rcu", "spf-srcu", "per-vma-6.4"):
        taken |= taken_in(once("fault and munmap of all", policy))
    for scene in SCENES | OTHERS:
        taken |= taken_in(once(scene, "spf-v9"))
    assert {kind.__name__ for kind in TOUCHES} - taken == RARE


def taken_in(searched: Subject) -> set[str]:
    reached(searched.space)
    return {name for names in searched.space.taken().values() for name in names}


class Unheard(Message, sender=("cpu",), receiver=("mm",)):
    """A message of which nothing is declared."""


def test_a_message_without_a_declaration_depends_on_every_other_of_its_server():
    searched = subject("two faults")
    vocabulary = searched.space.automata.vocabulary
    mm, ptl = 4, 9
    dependence = Dependence(vocabulary, (0, 1), ())
    new = dependence.effect(Happening((0, -1), ((mm, vocabulary.item(mm, 1, Unheard())),), ()))
    for declared in (ReadVma(vma_id=1), ReadPmd(address=BASE), SpfEnter(address=BASE)):
        known = dependence.effect(Happening((1, -1), ((mm, vocabulary.item(mm, 2, declared)),), ()))
        elsewhere = dependence.effect(Happening((1, -1), ((ptl, vocabulary.item(ptl, 2, declared)),), ()))
        assert dependence.dependent(new, known)
        assert not dependence.dependent(new, elsewhere)


def test_the_declarations_are_of_messages_that_servers_hear():
    for kind in TOUCHES:
        assert set(kind.receivers) <= {"mm", "ptl", "allocator"}, kind
