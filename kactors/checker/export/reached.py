"""All that a small scene can do, taken down whole: every state, every step of every actor, every end."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from kactors.checker.shrink import successors
from kactors.checker.space import STORES, Channel, Space, State
from kactors.engine.errors import UsageError

STATES_MAX = 50_000
"""A model of more would take a C compiler minutes."""

Taking = tuple[Channel, int, int]
"""(channel, node of the receiver, item): an actor in that state takes that from there."""


@dataclass
class Reached:
    """What can be reached from the first state of a space.

    Attributes:
        states: how many.
        moves: how many ways from one to another.
        takings: what actors take from channels, each once, in the order in which the walk met them.
        lengths: the most that each channel holds.
        interrupted: takings at which the receiver, a client, waits for the answer to what it said last.
        let_go: takings of a client's store that stood before IPIs or acks in its queue.
        ends: states that nothing follows.
        handed_on: what a server takes from another one inside a move of that one.
    """

    states: int = 0
    moves: int = 0
    takings: dict[Taking, None] = field(default_factory=dict)
    lengths: dict[Channel, int] = field(default_factory=dict)
    interrupted: set[Taking] = field(default_factory=set)
    let_go: set[Taking] = field(default_factory=set)
    ends: list[State] = field(default_factory=list)
    handed_on: dict[Taking, None] = field(default_factory=dict)


def reach(space: Space) -> Reached:
    """Walk through all states, breadth first.

    Raises:
        UsageError: there are more than ``STATES_MAX``.
    """
    reached, seen, pending = Reached(), {space.first.number}, deque([space.first])
    while pending:
        state = pending.popleft()
        _note(space, state, reached)
        for move, after in successors(space, state):
            reached.moves += 1
            (first, _), *others = space.move(state, move)[1].took
            for actor, item in others:
                reached.handed_on[(first, actor), state.nodes[actor], item] = None
            if after.number not in seen:
                seen.add(after.number)
                pending.append(after)
        if len(seen) > STATES_MAX:
            raise UsageError(
                f"the scenario has more than {STATES_MAX} states: too many for a model that another tool compiles; "
                "use fewer threads, pages or CPUs"
            )
    reached.states = len(seen)
    return reached


def _note(space: Space, state: State, reached: Reached) -> None:
    items = space.automata.vocabulary.items
    if not state.channels:
        reached.ends.append(state)
    for channel, queue in state.queues.items():
        reached.lengths[channel] = max(len(queue), reached.lengths.get(channel, 0))
    for channel in state.channels:
        item = state.queues[channel][0]
        receiver = items[item][0]
        taking = (channel, state.nodes[receiver], item)
        reached.takings[taking] = None
        if channel[1] == STORES and any(space.is_client(items[next_][0]) for next_ in state.queues[channel][1:2]):
            reached.let_go.add(taking)
        said = state.queues.get((receiver, STORES), ())
        if space.is_client(receiver) and said and items[said[-1]][2].replies:
            reached.interrupted.add(taking)
