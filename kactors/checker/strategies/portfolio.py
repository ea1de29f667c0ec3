"""Several strategies in turns, each round longer than the last: what is common is found soon, and in the end all is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

from kactors.checker.dependence import Dependence
from kactors.checker.space import Space
from kactors.checker.strategies.exhaustive import Exhaustive
from kactors.checker.strategies.strategy import Budget, End, Strategy
from kactors.checker.strategies.walks import Delay, FairPct, Pos, RandomWalk, Walk

FIRST_ROUND_SCHEDULES = 32
FIRST_ROUND_MOVES = 4_000

MEMBERS = (RandomWalk.name, FairPct.name, Pos.name, Delay.name)
"""Its walks, in the order of a turn."""


class Portfolio(Strategy):
    """Random walk, fair PCT, POS and delay bounding, and the exhaustive search in between, which ends it all.

    Turns are measured in schedules and moves, never in time: the same seed gives the same search.
    """

    name: ClassVar[str] = "portfolio"

    def __init__(self, space: Space, budget: Budget, seed: int, dependence: Dependence) -> None:
        super().__init__(space, budget)
        self.exhaustive = Exhaustive(space, budget, dependence)
        self.walks: tuple[Walk, ...] = (
            RandomWalk(space, budget, seed),
            FairPct(space, budget, seed),
            Pos(space, budget, seed, dependence),
            Delay(space, budget, seed),
        )

    @property
    def frontier(self) -> int:
        """That of the exhaustive search: walks keep no state."""
        return self.exhaustive.frontier

    def slices(self) -> Iterator[End | None]:
        """Yield what the members yield, in turns."""
        steps = self.exhaustive.steps()
        turn = 0
        while not self.exhaustive.over and not self.exhausted():
            for ends in self._round(steps, turn):
                yield from self._counted(ends)
                if self.exhausted():
                    break
            turn += 1
        self._sum_up()

    def _round(self, steps: Iterator[End | None], turn: int) -> Iterator[Iterator[End | None]]:
        """Yield what each member does in this round."""
        for walk in self.walks:
            walk.budget = replace(self.budget, schedules=walk.schedules + (FIRST_ROUND_SCHEDULES << turn))
            yield walk.slices()
        yield self._turn(steps, self.exhaustive.moves + (FIRST_ROUND_MOVES << turn))

    def _turn(self, steps: Iterator[End | None], moves: int) -> Iterator[End | None]:
        """Let the exhaustive search go on to so many moves."""
        for end in steps:
            yield end
            if self.exhaustive.moves >= moves:
                return

    def _counted(self, ends: Iterator[End | None]) -> Iterator[End | None]:
        for end in ends:
            if end is None:
                yield None
                continue
            self._sum_up()
            yield end
            if self.exhausted():
                return

    def _sum_up(self) -> None:
        members = (self.exhaustive, *self.walks)
        self.schedules = sum(member.schedules for member in members)
        self.moves = sum(member.moves for member in members)
        self.depth = max(member.depth for member in members)
        self.cut = sum(member.cut for member in members)
        self.complete = self.exhaustive.complete
        self.traces, self.states = self.exhaustive.traces, self.exhaustive.states
