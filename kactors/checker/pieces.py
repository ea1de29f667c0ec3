"""A search in pieces that several processes can share, with one result however many they are.

What a piece covers depends on the piece alone: a piece of walks is made of numbered schedules and begins with an empty
memory, and the exhaustive search goes on where its last piece ended, in a process that it has to itself. Pieces have an
order, the parts that they give are added up in it, and what follows a finding does not count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count

from kactors.checker.covered import Covered
from kactors.checker.search import WALKS, Search
from kactors.checker.slices import Slices, finish
from kactors.checker.strategies.exhaustive import POLL_POINTS, Exhaustive
from kactors.checker.strategies.portfolio import FIRST_ROUND_MOVES, FIRST_ROUND_SCHEDULES, MEMBERS, Portfolio
from kactors.checker.strategies.strategy import Budget, End, Strategy
from kactors.checker.subject import Subject

PIECE_SCHEDULES = 2_048
"""Of a piece of walks: what an empty memory costs is little against it."""
PIECE_MOVES_MAX = 1 << 20

WHOLE = ("exhaustive", "dpor", "plain")
"""Strategies that are one piece: depth first, they remember, or stand on, all that they have done."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece.

    Attributes:
        walks: the strategies that draw schedules in it; none: the exhaustive search goes on.
        first: number of the first schedule of each walk.
        count: schedules of each walk, or moves of the exhaustive search.
    """

    walks: tuple[str, ...]
    first: int
    count: int


def plan(strategy: str, schedules_max: int | None) -> Iterator[Piece]:
    """Yield the pieces of a search in their order; without a limit there is no last one.

    Args:
        strategy: a walk, or the portfolio.
        schedules_max: how many schedules may be drawn.
    """
    if strategy != Portfolio.name:
        for first in count(0, PIECE_SCHEDULES):
            left = PIECE_SCHEDULES if schedules_max is None else schedules_max - first
            if left <= 0:
                return
            yield Piece((strategy,), first, min(left, PIECE_SCHEDULES))
    first = 0
    for turn in count():
        drawn = min(FIRST_ROUND_SCHEDULES << turn, PIECE_SCHEDULES // len(MEMBERS))
        if schedules_max is not None:
            drawn = min(drawn, -(-schedules_max // len(MEMBERS)) - first)
        if drawn <= 0:
            return
        yield Piece(MEMBERS, first, drawn)
        yield Piece((), 0, min(FIRST_ROUND_MOVES << turn, PIECE_MOVES_MAX))
        first += drawn


@dataclass
class Explorer:
    """Explores pieces in one process.

    Args:
        subject: makes what is searched, with an empty memory.
        budget: steps of a schedule, and the caller's clock.
        seed: of the walks.
        keep_going: go on after a finding, for all outcomes.
    """

    subject: Callable[[], Subject]
    budget: Budget
    seed: int
    keep_going: bool = False
    _search: Search | None = field(default=None, init=False)
    _steps: Iterator[End | None] = field(default=iter(()), init=False)
    _at: tuple[Strategy, int, int] | None = field(default=None, init=False)
    """Whose turn it is, and what is to be added to his schedules and moves for those of the piece."""

    @property
    def frontier(self) -> int:
        """How many states are being explored by the exhaustive search; it keeps them while others have their turn."""
        return 0 if self._search is None else self._search.strategy.frontier

    def explore(self, piece: Piece) -> Covered:
        """Explore one piece."""
        return finish(self.exploring(piece))

    def exploring(self, piece: Piece) -> Slices[Covered]:
        """Explore one piece, in slices."""
        covered = yield from self._walk(piece) if piece.walks else self._go_on(piece)
        self._at = None
        return covered

    def under_way(self) -> tuple[int, int]:
        """Return the schedules and the moves of the piece that is being explored."""
        if self._at is None:
            return 0, 0
        strategy, schedules, moves = self._at
        return strategy.schedules + schedules, strategy.moves + moves

    def _walk(self, piece: Piece) -> Slices[Covered]:
        subject, sum_ = self.subject(), Covered()
        budget = replace(self.budget, schedules=piece.count)
        for name in piece.walks:
            walk = WALKS[name](subject, budget, self.seed, piece.first)
            self._at = walk, sum_.schedules, sum_.steps
            search = Search(subject, walk, self.seed)
            yield from search.slices(keep_going=self.keep_going)
            part = search.covered()
            sum_.add(replace(part, over=walk.schedules < piece.count and part.finding is None))
            if sum_.over or (sum_.finding and not self.keep_going):
                break
        yield from subject.space.forget()
        return sum_

    def _go_on(self, piece: Piece) -> Slices[Covered]:
        """Let the exhaustive search go on; what is returned is what this piece adds."""
        if self._search is None:
            subject = self.subject()
            strategy = Exhaustive(subject.space, self.budget, subject.dependence)
            self._search, self._steps = Search(subject, strategy, self.seed), strategy.steps()
        search = self._search
        before = search.covered()
        search.outcomes = Counter()
        self._at = search.strategy, -before.schedules, -before.steps
        over = yield from self._steps_of(search, before.steps + piece.count)
        now = search.covered()
        return replace(
            now,
            schedules=now.schedules - before.schedules,
            steps=now.steps - before.steps,
            cut=now.cut - before.cut,
            over=over,
        )

    def _steps_of(self, search: Search, moves: int) -> Slices[bool]:
        """Make steps up to so many moves; return whether none is left, or the time is up."""
        for place, end in enumerate(self._steps):
            yield
            found = end is not None and search.note(*search.judge(end))
            if found and not self.keep_going:
                return False
            if search.strategy.moves >= moves:
                return False
            if place % POLL_POINTS == 0 and self.budget.expired is not None and self.budget.expired():
                return True
        return True


def add_up(parts: Iterable[Covered], schedules_max: int | None, *, keep_going: bool = False) -> Iterator[Covered]:
    """Yield the sum after each part, until a finding, or until nothing is left or allowed."""
    total = Covered()
    for part in parts:
        total.add(part)
        yield total
        if is_over(total, schedules_max, keep_going=keep_going):
            return


def is_over(total: Covered, schedules_max: int | None, *, keep_going: bool) -> bool:
    """Return whether nothing is left to do, or allowed."""
    if total.over or (total.finding is not None and not keep_going):
        return True
    return schedules_max is not None and total.schedules >= schedules_max
