"""Search a scenario: run a strategy's schedules until one is a finding, or none is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version

from kactors.checker.critical import critical_move
from kactors.checker.schedules import write_schedule
from kactors.checker.shrink import shrink
from kactors.checker.space import Move
from kactors.checker.story import step_of, tell
from kactors.checker.strategies.dpor import SourceDpor
from kactors.checker.strategies.exhaustive import Exhaustive, Plain
from kactors.checker.strategies.portfolio import Portfolio
from kactors.checker.strategies.strategy import Budget, Strategy
from kactors.checker.strategies.walks import Delay, FairPct, Pct, Pos, RandomWalk
from kactors.checker.subject import Subject
from kactors.engine.errors import UsageError
from protocols.search import Found, Registers, Searched
from protocols.stop import AnyStop, Livelock, Quiescent

STRATEGIES: dict[str, Callable[[Subject, Budget, int], Strategy]] = {
    "portfolio": lambda subject, budget, seed: Portfolio(subject.space, budget, seed, subject.dependence),
    "exhaustive": lambda subject, budget, _: Exhaustive(subject.space, budget, subject.dependence),
    "dpor": lambda subject, budget, _: SourceDpor(subject.space, budget, subject.dependence),
    "plain": lambda subject, budget, _: Plain(subject.space, budget),
    "random": lambda subject, budget, seed: RandomWalk(subject.space, budget, seed),
    "pct": lambda subject, budget, seed: Pct(subject.space, budget, seed),
    "fair-pct": lambda subject, budget, seed: FairPct(subject.space, budget, seed),
    "pos": lambda subject, budget, seed: Pos(subject.space, budget, seed, subject.dependence),
    "delay": lambda subject, budget, seed: Delay(subject.space, budget, seed),
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
    finding: tuple[AnyStop, tuple[Move, ...]] | None = None

    def run(self, *, keep_going: bool = False) -> Search:
        """Run until a finding, until all is covered, or until the budget is used up.

        Args:
            keep_going: look for all outcomes; only the first finding is kept.
        """
        for stop, moves, outcome in self.verdicts():
            if isinstance(stop, Quiescent):
                self.outcomes[outcome] += 1
                continue
            self.finding = self.finding or (stop, moves)
            if not keep_going:
                break
        return self

    def verdicts(self) -> Iterator[tuple[AnyStop, tuple[Move, ...], Registers]]:
        """Yield for each schedule why it ended, the schedule, and what the threads saw."""
        space = self.subject.space
        for end in self.strategy.ends():
            stop = end.loop or space.verdict(end.state)
            if stop is None:
                raise AssertionError("a schedule ended with messages under way")
            yield stop, end.moves, self.subject.outcome(end.state.watched)

    def searched(self, *, shrunk: bool = True) -> Searched:
        """Return what was covered, and the finding with its story."""
        strategy = self.strategy
        return Searched(
            version=version("kactors"),
            scenario=self.subject.scenario,
            strategy=strategy.name,
            seed=self.seed,
            complete=strategy.complete,
            schedules=strategy.schedules,
            steps=strategy.moves,
            depth=strategy.depth,
            cut=strategy.cut,
            states=self.subject.space.states,
            traces=strategy.traces if strategy.complete else None,
            interleavings=strategy.traces if isinstance(strategy, Plain) and strategy.complete else None,
            outcomes=tuple(sorted(self.outcomes.items())),
            taken=self.subject.space.taken(),
            missed=strategy.miss_probability() if isinstance(strategy, Pct) else None,
            found=None if self.finding is None else tell_finding(self.subject, *self.finding, shrunk=shrunk),
        )


def tell_finding(subject: Subject, stop: AnyStop, moves: tuple[Move, ...], *, shrunk: bool = True) -> Found:
    """Return a finding with its story, shrunk if wanted, run once more by the real actors."""
    short = shrink(subject.space, moves, stop) if shrunk and not isinstance(stop, Livelock) else moves
    again = subject.rerun(short)
    if again.stop is None and not isinstance(stop, Livelock):
        raise AssertionError("the schedule of a finding leads to none")
    critical = critical_move(subject.space, short) if shrunk else None
    return Found(
        stop=again.stop or stop,
        schedule=write_schedule(subject.scenario, short),
        story=tell(again.deliveries),
        critical=None if critical is None else step_of(again.deliveries, critical),
        shrunk_from=len(moves),
        scenario=subject.scenario,
    )
