"""Every interleaving, each trace once: depth first with sleep sets, and what follows from one point explored once.

A point is a state with its sleep set (Godefroid): these two determine all that is explored from there, so a point that
was left before needs no second visit. The schedules that sleep sets leave are one for each Mazurkiewicz trace; their
number is the sum over the ways out of a point, so all are counted although few are run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

from kactors.checker.dependence import Dependence
from kactors.checker.liveness import seek_livelock
from kactors.checker.space import Channel, Move, Space, State
from kactors.checker.strategies.strategy import Budget, End, Strategy
from kactors.checker.symmetry import Symmetry

Sleep = dict[Channel, tuple[int, ...]]
"""Channels that need not be tried, each with the effects of its next move."""

POLL_POINTS = 256


class Point:
    """A state with its sleep set, while its ways out are explored.

    Attributes:
        key: the point's name.
        ways: moves out of it and the points that they lead to, one after another.
        traces: schedules that go on from here, as far as they have been counted.
    """

    __slots__ = ("key", "traces", "ways")

    def __init__(self, key: Any, ways: Iterator[tuple[Move, State, Sleep]]) -> None:
        self.key = key
        self.ways = ways
        self.traces = 0


class Exhaustive(Strategy):
    """The search.

    Args:
        space: what can happen.
        budget: when to give up.
        dependence: what may change places; None: nothing, which makes it a plain depth-first search over states.

    Attributes:
        over: nothing is left to do, though what was cut may hide something.
    """

    name: ClassVar[str] = "exhaustive"

    def __init__(self, space: Space, budget: Budget, dependence: Dependence | None) -> None:
        super().__init__(space, budget)
        self._dependence = dependence
        # Points that differ only in which CPU is which have as many traces, and the same ends but for the names.
        self._symmetry = Symmetry(space) if dependence is not None and space.alike else None
        self._left: dict[Any, int] = {}
        self._points: list[Point] = []
        self._open: set[Any] = set()
        self._path: list[Move] = []
        self.cycles = 0
        self.over = False

    @property
    def frontier(self) -> int:
        """How many points are on the path: entered, and not left yet."""
        return len(self._points)

    def slices(self) -> Iterator[End | None]:
        """Yield an end for each way into it from a point not seen before, and None after every other step."""
        for place, end in enumerate(self.steps()):
            yield end
            if (end is not None or place % POLL_POINTS == 0) and self.exhausted():
                return

    def steps(self) -> Iterator[End | None]:
        """Go on step by step, whatever the budget of schedules: yield an end where one was reached."""
        self._enter(self.space.first, {})
        while self._points:
            end = self._go()
            yield end
            if end is not None:
                self._path.pop()
        if self.cycles:
            # Schedules without end cannot be counted.
            self.traces = None
            loop = yield from seek_livelock(self.space, self.budget.expired)
            if loop is not None:
                yield replace(self.ended(loop.state, loop.way), loop=loop.stop)
        self.complete = self.cut == 0 and not (self.cycles and self.exhausted())
        self.over = True

    def _go(self) -> End | None:
        """Make one move from the last point of the path, or leave that point."""
        point = self._points[-1]
        way = next(point.ways, None)
        if way is None:
            self._leave(point)
            return None
        move, state, sleep = way
        self._path.append(move)
        if not state.queues or state.stop is not None:
            point.traces += 1
            return self.ended(state, self._path)
        key = self._key(state, sleep)
        known = self._left.get(key)
        if known is not None:
            point.traces += known
        elif key in self._open:
            self.cycles += 1
        elif len(self._path) >= self.budget.steps:
            self.cut += 1
        else:
            self._enter(state, sleep, key)
            return None
        self._path.pop()
        return None

    def _enter(self, state: State, sleep: Sleep, key: Any = None) -> None:
        key = key or self._key(state, sleep)
        self._open.add(key)
        self._points.append(Point(key, self._ways(state, sleep)))

    def _leave(self, point: Point) -> None:
        self._points.pop()
        self._open.remove(point.key)
        self._left[point.key] = point.traces
        if self._points:
            self._points[-1].traces += point.traces
            self._path.pop()
        else:
            self.traces = point.traces
        self.states = self.space.states

    def _key(self, state: State, sleep: Sleep) -> Any:
        """Name a point: a channel's next move, and so its effects, follow from the state.

        An ack's do not: the last one does more. But acks change places with each other: whichever sleeps is as good.
        """
        if self._symmetry is None:
            return state.number, frozenset(sleep)
        number, exchange = self._symmetry.canonical(state)
        return number, frozenset(sleep if exchange is None else map(exchange.channel, sleep))

    def _ways(self, state: State, sleep: Sleep) -> Iterator[tuple[Move, State, Sleep]]:
        """Yield the moves that sleep does not make needless; each falls asleep for those after it."""
        sleep = sleep.copy()
        dependence = self._dependence
        for channel in state.channels:
            if channel in sleep:
                continue
            effects: list[int] = []
            for way in range(len(self.space.head_steps(state, channel))):
                move = (channel, way)
                after, happening = self.space.move(state, move)
                self.moves += 1
                if dependence is None:
                    yield move, after, {}
                    continue
                effect = dependence.effect(happening)
                effects.append(effect)
                yield move, after, {each: known for each, known in sleep.items() if dependence.apart(effect, known)}
            if dependence is not None:
                sleep[channel] = tuple(effects)


class Plain(Exhaustive):
    """The same without reduction: all states by all ways into them. ``traces`` counts schedules then."""

    name: ClassVar[str] = "plain"

    def __init__(self, space: Space, budget: Budget) -> None:
        super().__init__(space, budget, None)
