"""Search a scenario: run a strategy's schedules until one is a finding, or none is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version

from kactors.checker.covered import Covered, Finding
from kactors.checker.critical import critical_move, seek_critical_move
from kactors.checker.liveness import find_livelock
from kactors.checker.rerun import Rerun
from kactors.checker.schedules import write_schedule
from kactors.checker.shrink import shrinking
from kactors.checker.slices import Slices, finish
from kactors.checker.space import Move
from kactors.checker.story import step_of, tell
from kactors.checker.strategies.dpor import SourceDpor
from kactors.checker.strategies.exhaustive import Exhaustive, Plain
from kactors.checker.strategies.portfolio import Portfolio
from kactors.checker.strategies.strategy import Budget, End, Strategy
from kactors.checker.strategies.walks import Delay, FairPct, Pct, Pos, RandomWalk, Walk
from kactors.checker.subject import Subject
from kactors.engine.errors import UsageError
from protocols.search import Found, Registers, Searched
from protocols.stop import AnyStop, EventLimit, Livelock, Quiescent

WALKS: dict[str, Callable[[Subject, Budget, int, int], Walk]] = {
    "random": lambda subject, budget, seed, first: RandomWalk(subject.space, budget, seed, first),
    "pct": lambda subject, budget, seed, first: Pct(subject.space, budget, seed, first),
    "fair-pct": lambda subject, budget, seed, first: FairPct(subject.space, budget, seed, first),
    "pos": lambda subject, budget, seed, first: Pos(subject.space, budget, seed, subject.dependence, first),
    "delay": lambda subject, budget, seed, first: Delay(subject.space, budget, seed, first),
}
"""Strategies whose schedules are numbered, with the number of the first one."""


def _from_the_first(
    walk: Callable[[Subject, Budget, int, int], Walk], subject: Subject, budget: Budget, seed: int
) -> Walk:
    return walk(subject, budget, seed, 0)


STRATEGIES: dict[str, Callable[[Subject, Budget, int], Strategy]] = {
    "portfolio": lambda subject, budget, seed: Portfolio(subject.space, budget, seed, subject.dependence),
    "exhaustive": lambda subject, budget, _: Exhaustive(subject.space, budget, subject.dependence),
    "dpor": lambda subject, budget, _: SourceDpor(subject.space, budget, subject.dependence),
    "plain": lambda subject, budget, _: Plain(subject.space, budget),
    **{name: partial(_from_the_first, walk) for name, walk in WALKS.items()},
}


def make_strategy(name: str, subject: Subject, budget: Budget, seed: int) -> Strategy:
    """Return a strategy by name.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in STRATEGIES:
        raise UsageError(f"there is no strategy {name}; there are {', '.join(STRATEGIES)}")
    return STRATEGIES[name](subject, budget, seed)


@dataclass
class Search:
    """One search.

    Args:
        subject: what is searched.
        strategy: how.
        seed: of strategies that draw.

    Attributes:
        outcomes: what the threads saw, with how many schedules ended so.
        finding: the first one, with the schedule that led there.
    """

    subject: Subject
    strategy: Strategy
    seed: int = 1
    outcomes: Counter[Registers] = field(default_factory=Counter)
    finding: Finding | None = None

    def run(self, *, keep_going: bool = False) -> Search:
        """Run until a finding, until all is covered, or until the budget is used up.

        Args:
            keep_going: look for all outcomes; only the first finding is kept.
        """
        for _ in self.steps(keep_going=keep_going):
            pass
        return self

    def steps(self, *, keep_going: bool = False) -> Iterator[None]:
        """Run as ``run`` does, a schedule at a time: in between the caller may do other work, or give up."""
        for stop, moves, outcome in self.verdicts():
            if self.note(stop, moves, outcome) and not keep_going:
                return
            yield

    def slices(self, *, keep_going: bool = False) -> Slices[None]:
        """Run as ``run`` does; between two schedules, and within long ones, the caller may do other work."""
        for end in self.strategy.slices():
            if end is not None and self.note(*self.judge(end)) and not keep_going:
                return
            yield

    def verdicts(self) -> Iterator[tuple[AnyStop, tuple[Move, ...], Registers]]:
        """Yield for each schedule why it ended, the schedule, and what the threads saw."""
        for end in self.strategy.ends():
            yield self.judge(end)

    def judge(self, end: End) -> tuple[AnyStop, tuple[Move, ...], Registers]:
        """Return why a schedule ended, the schedule, and what the threads saw."""
        stop = end.loop or self.subject.space.verdict(end.state)
        if stop is None:
            raise AssertionError("a schedule ended with messages under way")
        return stop, end.moves, self.subject.outcome(end.state.watched)

    def note(self, stop: AnyStop, moves: tuple[Move, ...], outcome: Registers) -> bool:
        """Count the end of a schedule, and keep the first finding; return whether it is one."""
        if isinstance(stop, Quiescent):
            self.outcomes[outcome] += 1
            return False
        self.finding = self.finding or (stop, moves)
        return True

    def covered(self) -> Covered:
        """Return what has been covered so far."""
        strategy, space = self.strategy, self.subject.space
        return Covered(
            schedules=strategy.schedules,
            steps=strategy.moves,
            depth=strategy.depth,
            cut=strategy.cut,
            states=space.states,
            taken=space.taken(),
            outcomes=self.outcomes,
            traces=strategy.traces if strategy.complete else None,
            finding=self.finding,
            complete=strategy.complete,
        )

    def searched(self, *, shrunk: bool = True) -> Searched:
        """Return what was covered, and the finding with its story."""
        found = None if self.finding is None else tell_finding(self.subject, *self.finding, shrunk=shrunk)
        return tell_search(self.subject, self.covered(), strategy=self.strategy.name, seed=self.seed, found=found)


def tell_search(subject: Subject, covered: Covered, *, strategy: str, seed: int, found: Found | None) -> Searched:
    """Return what a search covered, and its finding.

    Args:
        subject: what was searched.
        covered: its sums.
        strategy: its name.
        seed: of strategies that draw.
        found: the finding with its story, maybe in a smaller scenario.
    """
    return Searched(
        version=version("kactors"),
        scenario=subject.scenario,
        strategy=strategy,
        seed=seed,
        complete=covered.complete,
        schedules=covered.schedules,
        steps=covered.steps,
        depth=covered.depth,
        cut=covered.cut,
        states=covered.states,
        traces=covered.traces,
        interleavings=covered.traces if strategy == Plain.name else None,
        outcomes=tuple(sorted(covered.outcomes.items())),
        taken={role: dict(sorted(covered.taken[role].items())) for role in sorted(covered.taken)},
        missed=_missed(subject, covered, strategy, seed),
        found=found,
    )


def _missed(subject: Subject, covered: Covered, strategy: str, seed: int) -> float | None:
    if strategy not in (Pct.name, FairPct.name):
        return None
    pct = Pct(subject.space, Budget(), seed)
    pct.schedules = covered.schedules
    return pct.miss_probability()


def tell_finding(subject: Subject, stop: AnyStop, moves: tuple[Move, ...], *, shrunk: bool = True) -> Found:
    """Return a finding with its story, shrunk if wanted, run once more by the real actors."""
    return finish(telling(subject, stop, moves, shrunk=shrunk))


def telling(subject: Subject, stop: AnyStop, moves: tuple[Move, ...], *, shrunk: bool = True) -> Slices[Found]:
    """Do as ``tell_finding`` does, in slices."""
    short = moves
    if shrunk and not isinstance(stop, Livelock):
        short = yield from shrinking(subject.space, moves, stop)
    again = subject.rerun(short)
    if again.stop is None and not isinstance(stop, Livelock):
        raise AssertionError("the schedule of a finding leads to none")
    critical = (yield from seek_critical_move(subject.space, short)) if shrunk else None
    return _tell(subject, short, again, again.stop or stop, critical).model_copy(update={"shrunk_from": len(moves)})


def tell_schedule(subject: Subject, moves: tuple[Move, ...]) -> Found:
    """Return a schedule's story, run by the real actors, and what it leads to: not always a finding."""
    again = subject.rerun(moves)
    stop = again.stop
    if stop is None:
        loop = find_livelock(subject.space, begin=again.state)
        stop = EventLimit(events=len(moves)) if loop is None else loop.stop
    return _tell(subject, moves, again, stop, critical_move(subject.space, moves) if stop.finding else None)


def _tell(subject: Subject, moves: tuple[Move, ...], again: Rerun, stop: AnyStop, critical: int | None) -> Found:
    return Found(
        stop=stop,
        schedule=write_schedule(subject.scenario, moves),
        story=tell(again.deliveries),
        critical=None if critical is None else step_of(again.deliveries, critical),
        shrunk_from=len(moves),
        scenario=subject.scenario,
    )
