"""Livelock: a loop in which somebody is always at work and nobody ever gets done, although everybody gets his turns.

Programs under search end, so a run that never does is one. A loop counts only if it is fair: what can be taken in all
of its states is taken in it. Otherwise it shows no more than that whoever retries must wait for somebody else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from kactors.checker.shrink import successors
from kactors.checker.slices import Slices, finish
from kactors.checker.space import Channel, Move, Space, State
from protocols.stop import Livelock


@dataclass(frozen=True)
class Loop:
    """A fair loop.

    Attributes:
        way: the moves from the origin to a state of it.
        state: that state.
        stop: what to say of it.
    """

    way: tuple[Move, ...]
    state: State
    stop: Livelock


def find_livelock(
    space: Space, expired: Callable[[], bool] | None = None, *, begin: State | None = None
) -> Loop | None:
    """Return a fair loop that can be reached, by default from the origin; None: there is none, or the time is up."""
    return finish(seek_livelock(space, expired, begin=begin))


def seek_livelock(
    space: Space, expired: Callable[[], bool] | None = None, *, begin: State | None = None
) -> Slices[Loop | None]:
    """Do as ``find_livelock`` does, in slices.

    Every state that is reached lies in one strongly connected component; a component holds a fair loop exactly if
    the loop through all of its moves is fair.
    """
    for component in _Components(space, expired).all(begin or space.first):
        if component is None:
            yield
        elif _is_fair(space, component):
            states = sorted(component, key=lambda state: state.number)
            way = _way_to(space, states[0].number)
            said = sorted({_said(space, state, move) for state, move, _ in _inner(space, component)})
            text = (
                f"{len(states)} states are visited again and again, each message under way in them being taken: "
                f"{', '.join(said)}"
            )
            return Loop(way, states[0], Livelock(text=text))
    return None


def _inner(space: Space, component: list[State]) -> Iterator[tuple[State, Move, State]]:
    """Yield the moves that stay in a component."""
    numbers = {state.number for state in component}
    for state in component:
        for move, after in successors(space, state):
            if after.number in numbers:
                yield state, move, after


def _is_fair(space: Space, component: list[State]) -> bool:
    taken = {move[0] for _, move, _ in _inner(space, component)}
    always = set[Channel].intersection(*(set(state.channels) for state in component))
    return bool(taken) and always <= taken


def _said(space: Space, state: State, move: Move) -> str:
    return type(space.automata.vocabulary.items[state.queues[move[0]][0]][2]).__name__


def _way_to(space: Space, number: int) -> tuple[Move, ...]:
    """Return a shortest way to a state."""
    ways: dict[int, tuple[Move, ...]] = {space.first.number: ()}
    layer = [space.first]
    while number not in ways:
        following: list[State] = []
        for state in layer:
            for move, after in successors(space, state):
                if after.number not in ways:
                    ways[after.number] = (*ways[state.number], move)
                    following.append(after)
        layer = following
    return ways[number]


@dataclass
class _Components:
    """Tarjan's strongly connected components, without recursion."""

    space: Space
    expired: Callable[[], bool] | None
    indexes: dict[int, int] = field(default_factory=dict)
    lowest: dict[int, int] = field(default_factory=dict)
    stack: list[State] = field(default_factory=list)
    on_stack: set[int] = field(default_factory=set)

    def all(self, begin: State) -> Iterator[list[State] | None]:
        """Yield every component that can be reached, and None whenever there is time for something else."""
        work = [self._enter(begin)]
        while work:
            if self.expired is not None and self.expired():
                return
            yield None
            state, rest = work[-1]
            after = next(rest, None)
            if after is None:
                work.pop()
                if work:
                    self._lower(work[-1][0], self.lowest[state.number])
                if self.lowest[state.number] == self.indexes[state.number]:
                    yield self._close(state)
            elif after.number not in self.indexes:
                work.append(self._enter(after))
            elif after.number in self.on_stack:
                self._lower(state, self.indexes[after.number])

    def _enter(self, state: State) -> tuple[State, Iterator[State]]:
        self.indexes[state.number] = self.lowest[state.number] = len(self.indexes)
        self.stack.append(state)
        self.on_stack.add(state.number)
        return state, iter([after for _, after in successors(self.space, state)])

    def _lower(self, state: State, index: int) -> None:
        self.lowest[state.number] = min(self.lowest[state.number], index)

    def _close(self, state: State) -> list[State]:
        component: list[State] = []
        while not component or component[-1] is not state:
            member = self.stack.pop()
            self.on_stack.remove(member.number)
            component.append(member)
        return component
