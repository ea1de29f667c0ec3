"""What a strategy of search is: something that runs schedules, and can be stopped between two of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from kactors.checker.space import Move, Space, State
from protocols.stop import Livelock

STEPS_MAX = 10_000


@dataclass(frozen=True)
class Budget:
    """When to give up. A search that gave up says so, and is not complete.

    Attributes:
        schedules: run at most so many.
        steps: moves of one schedule; a longer one is given up.
        expired: asked now and then; true ends the search (a caller's clock: there is none in here).
    """

    schedules: int | None = None
    steps: int = STEPS_MAX
    expired: Callable[[], bool] | None = None


@dataclass(frozen=True, slots=True)
class End:
    """The end of one schedule.

    Attributes:
        state: the last state: a finding's if its ``stop`` is set, else nothing is under way, or it lies in a loop.
        moves: the way there from the origin.
        number: the schedule's, where it can be run again by its number; else -1.
        loop: the schedule need never end: it can go on from its last state, and come back there.
    """

    state: State
    moves: tuple[Move, ...]
    number: int = -1
    loop: Livelock | None = None


class Strategy(ABC):
    """One way to choose schedules.

    Args:
        space: what can happen.
        budget: when to give up.

    Attributes:
        name: as on the command line.
        schedules: run so far.
        moves: made so far.
        depth: moves of the longest schedule.
        complete: nothing is left: every interleaving has been covered.
        traces: Mazurkiewicz traces covered, where the strategy knows; else None.
        states: different states visited, where the strategy knows; else None.
        cut: schedules that were given up because they were too long.
    """

    name: ClassVar[str]

    def __init__(self, space: Space, budget: Budget) -> None:
        self.space = space
        self.budget = budget
        self.schedules = 0
        self.moves = 0
        self.depth = 0
        self.cut = 0
        self.complete = False
        self.traces: int | None = None
        self.states: int | None = None

    @property
    def frontier(self) -> int:
        """How many states are being explored: something below them is still to be tried; 0 where no state is kept."""
        return 0

    @abstractmethod
    def slices(self) -> Iterator[End | None]:
        """Run schedules until all are covered or the budget is used up.

        Yield the end of each, and None now and then in between, for a caller who has other things to do.
        """

    def ends(self) -> Iterator[End]:
        """Run schedules and yield their ends, until all are covered or the budget is used up."""
        return (end for end in self.slices() if end is not None)

    def exhausted(self) -> bool:
        """Return whether the budget is used up."""
        budget = self.budget
        if budget.schedules is not None and self.schedules >= budget.schedules:
            return True
        return budget.expired is not None and budget.expired()

    def ended(self, state: State, moves: Sequence[Move], number: int = -1) -> End:
        """Count a schedule."""
        self.schedules += 1
        self.depth = max(self.depth, len(moves))
        return End(state, tuple(moves), number)
