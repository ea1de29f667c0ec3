"""What a search, or a part of one, has covered: sums that can be added up in any process."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from kactors.checker.space import Move
from protocols.search import Registers
from protocols.stop import AnyStop

Finding = tuple[AnyStop, tuple[Move, ...]]
"""What was found, and the schedule that led there."""


@dataclass
class Covered:
    """Sums of a search.

    Attributes:
        schedules: run to an end, or cut.
        steps: moves made.
        depth: moves of the longest schedule.
        cut: schedules given up because they were too long.
        states: different states seen; of several parts, which know nothing of each other's, the most that one saw.
        taken: by role and message, in how many states it was taken; of several parts the most likewise.
        outcomes: what the threads saw, with how many schedules ended so.
        traces: Mazurkiewicz traces, when all have been counted.
        finding: the first one.
        complete: every interleaving was covered.
        over: there is nothing to go on with.
    """

    schedules: int = 0
    steps: int = 0
    depth: int = 0
    cut: int = 0
    states: int = 0
    taken: dict[str, dict[str, int]] = field(default_factory=dict)
    outcomes: Counter[Registers] = field(default_factory=Counter)
    traces: int | None = None
    finding: Finding | None = None
    complete: bool = False
    over: bool = False

    def add(self, part: Covered) -> None:
        """Add the part that follows in order: a finding that was there before it stays the first."""
        self.schedules += part.schedules
        self.steps += part.steps
        self.depth = max(self.depth, part.depth)
        self.cut += part.cut
        self.states = max(self.states, part.states)
        for role, messages in part.taken.items():
            mine = self.taken.setdefault(role, {})
            for message, states in messages.items():
                mine[message] = max(mine.get(message, 0), states)
        self.outcomes.update(part.outcomes)
        self.traces = part.traces if part.traces is not None else self.traces
        self.finding = self.finding or part.finding
        self.complete = self.complete or part.complete
        self.over = self.over or part.over
