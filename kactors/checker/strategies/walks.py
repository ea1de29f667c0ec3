"""Schedules drawn at random, each from a stream of its own: schedule n of a seed is the same whoever runs it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Iterator
from typing import ClassVar

from kactors.checker.dependence import Dependence
from kactors.checker.space import Channel, Happening, Move, Space, State
from kactors.checker.strategies.strategy import Budget, End, Strategy
from kactors.engine.choices import Choices, SeededChoices

PRIORITIES = 1 << 30
POLL_SCHEDULES = 16
SLICE_MOVES = 8
"""A move that nobody has made before may take milliseconds."""


class Walk(Strategy):
    """One schedule after another, from the origin to an end.

    Args:
        space: what can happen.
        budget: when to give up; without a number of schedules it goes on until it is stopped.
        seed: of all streams.
        first: number of the first schedule.
    """

    def __init__(self, space: Space, budget: Budget, seed: int, first: int = 0) -> None:
        super().__init__(space, budget)
        self._seed = seed
        self._next = first
        self.draw: Choices = SeededChoices(seed)

    def slices(self) -> Iterator[End | None]:
        """Yield the end of each schedule, and None every few moves; one that is too long is counted as cut."""
        while not (self.schedules % POLL_SCHEDULES == 0 and self.exhausted()) and self._has_budget():
            number = self._next
            self._next += 1
            self.draw = SeededChoices(hash_free(self._seed, self.name, number))
            yield (yield from self._run(number))

    def _has_budget(self) -> bool:
        return self.budget.schedules is None or self.schedules < self.budget.schedules

    def _run(self, number: int) -> Generator[None, None, End | None]:
        space, steps_max = self.space, self.budget.steps
        state, path = space.first, list[Move]()
        self.begin()
        while state.queues and state.stop is None:
            if len(path) >= steps_max:
                self.cut += 1
                self.schedules += 1
                return None
            channels = state.channels
            channel = channels[0] if len(channels) == 1 else self.choose(state, channels, len(path))
            ways = len(space.head_steps(state, channel))
            move = (channel, self.draw.pick("way", ways) if ways > 1 else 0)
            state, happening = space.move(state, move)
            path.append(move)
            self.took(state, happening)
            if not len(path) % SLICE_MOVES:
                yield
        self.moves += len(path)
        return self.ended(state, path, number)

    def begin(self) -> None:
        """Prepare for a new schedule."""

    @abstractmethod
    def choose(self, state: State, channels: list[Channel], step: int) -> Channel:
        """Return the channel, of two or more, whose head is taken next."""

    def took(self, state: State, happening: Happening) -> None:
        """Learn what the choice led to."""


def hash_free(seed: int, name: str, number: int) -> int:
    """Return a seed of its own for one schedule: the same in every process, unlike ``hash``."""
    return int.from_bytes(f"{seed}/{name}/{number}".encode(), "big")


class RandomWalk(Walk):
    """Each step any channel, all alike."""

    name: ClassVar[str] = "random"

    def choose(self, state: State, channels: list[Channel], step: int) -> Channel:
        """Draw one."""
        del state, step
        return channels[self.draw.pick("walk", len(channels))]


def pilot(space: Space, steps_max: int) -> tuple[int, int]:
    """Return the steps and the channels of the schedule that always takes the first channel: a measure for others."""
    state, steps, seen = space.first, 0, set[Channel]()
    while state.queues and state.stop is None and steps < steps_max:
        channels = state.channels
        seen.update(channels)
        state, _ = space.move(state, (channels[0], 0))
        steps += 1
    return max(steps, 1), max(len(seen), 1)


class Pct(Walk):
    """Probabilistic concurrency testing (Burckhardt et al., ASPLOS 2010): random priorities, changed at few steps.

    With priorities alone, whoever retries in a loop may run for ever: see FairPct.

    Attributes:
        orderings: of how many events a bug may depend (the paper's d).
        steps: length of the pilot's schedule (the paper's k).
        channels: of the pilot's schedule (the paper's n: whoever can be ahead of another).
    """

    name: ClassVar[str] = "pct"
    orderings: ClassVar[int] = 3

    def __init__(self, space: Space, budget: Budget, seed: int, first: int = 0) -> None:
        super().__init__(space, budget, seed, first)
        self.steps, self.channels = pilot(space, budget.steps)
        self._priorities: dict[Channel, int] = {}
        self._changes: set[int] = set()

    def miss_probability(self) -> float:
        """Return how likely all schedules so far have missed a bug of ``orderings`` orderings, at most."""
        found = 1 / (self.channels * self.steps ** (self.orderings - 1))
        return float((1 - found) ** self.schedules)

    def begin(self) -> None:
        """Draw the steps at which priorities change."""
        self._priorities = {}
        self._changes = {self.draw.pick("change", self.steps) for _ in range(self.orderings - 1)}

    def choose(self, state: State, channels: list[Channel], step: int) -> Channel:
        """Take the channel of the highest priority; at a change it falls behind all others."""
        del state
        priorities = self._priorities
        for channel in channels:
            if channel not in priorities:
                priorities[channel] = self.draw.pick("priority", PRIORITIES)
        chosen = max(channels, key=priorities.__getitem__)
        if step in self._changes:
            self._changes.discard(step)
            priorities[chosen] = -step - 1
            chosen = max(channels, key=priorities.__getitem__)
        return chosen


class FairPct(Pct):
    """PCT for twice the pilot's steps, then a random walk: a loop of retries comes to an end."""

    name: ClassVar[str] = "fair-pct"

    def choose(self, state: State, channels: list[Channel], step: int) -> Channel:
        """Take by priority, later draw."""
        if step < 2 * self.steps:
            return super().choose(state, channels, step)
        return channels[self.draw.pick("walk", len(channels))]


class Pos(Walk):
    """Partial order sampling (Yuan, Yang, Gu, CAV 2018): a priority for each event, drawn anew where it raced and lost.

    So every order of two dependent events is about as likely, however long the schedule.
    """

    name: ClassVar[str] = "pos"

    def __init__(self, space: Space, budget: Budget, seed: int, dependence: Dependence, first: int = 0) -> None:
        super().__init__(space, budget, seed, first)
        self._dependence = dependence
        self._priorities: dict[Channel, int] = {}
        self._channels: list[Channel] = []

    def begin(self) -> None:
        """Forget the last schedule's priorities."""
        self._priorities = {}
        self._channels = []

    def choose(self, state: State, channels: list[Channel], step: int) -> Channel:
        """Take the event of the highest priority."""
        del state, step
        for channel in channels:
            if channel not in self._priorities:
                self._priorities[channel] = self.draw.pick("priority", PRIORITIES)
        self._channels = channels
        return max(channels, key=self._priorities.__getitem__)

    def took(self, state: State, happening: Happening) -> None:
        """Draw anew for the event that is next in the channel, and for those that the last one overtook."""
        effect = self._dependence.effect(happening)
        self._priorities.pop(happening.channel, None)
        for channel in self._channels:
            if channel in self._priorities and channel in state.queues:
                _, other = self.space.move(state, (channel, 0))
                if self._dependence.dependent(effect, self._dependence.effect(other)):
                    del self._priorities[channel]
        self._channels = []


class Delay(Walk):
    """Delay bounding (Emmi, Qadeer, Rakamaric, POPL 2011): round robin that passes over the next one at a few steps."""

    name: ClassVar[str] = "delay"
    delays: ClassVar[int] = 3

    def __init__(self, space: Space, budget: Budget, seed: int, first: int = 0) -> None:
        super().__init__(space, budget, seed, first)
        self._steps, _ = pilot(space, budget.steps)
        self._delayed: set[int] = set()
        self._last: Channel = (-1, -1)

    def begin(self) -> None:
        """Draw the steps at which to delay."""
        self._delayed = {self.draw.pick("delay", self._steps) for _ in range(self.delays)}
        self._last = (-1, -1)

    def choose(self, state: State, channels: list[Channel], step: int) -> Channel:
        """Stay with the last channel while it has something; then, or delayed, go on to the one after it."""
        del state
        if self._last not in channels:
            self._last = _after(self._last, channels)
        if step in self._delayed:
            self._last = _after(self._last, channels)
        return self._last


def _after(last: Channel, channels: list[Channel]) -> Channel:
    """Return the next one, round robin."""
    return next((channel for channel in channels if channel > last), channels[0])
