"""Searches of the small scenes, each made once."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from kactors.checker.search import Search, make_strategy
from kactors.checker.strategies.strategy import Budget, Strategy
from kactors.checker.subject import Subject
from protocols.search import Registers
from protocols.stop import AnyStop, Quiescent
from tests.checker.scenes import subject


@dataclass(frozen=True)
class All:
    """Everything that a search came to.

    Attributes:
        outcomes: what the threads saw, in all ways.
        findings: names of the properties that broke, or kinds of other findings.
    """

    strategy: Strategy
    outcomes: frozenset[Registers]
    findings: frozenset[str]


class Asked:
    """A clock that has expired once it was asked so often."""

    def __init__(self, after: int) -> None:
        self.times = 0
        self._after = after

    def __call__(self) -> bool:
        self.times += 1
        return self.times >= self._after


def name_of(stop: AnyStop) -> str:
    return getattr(stop, "property", stop.kind)


def search_all(searched: Subject, strategy: Strategy) -> All:
    outcomes, findings = set[Registers](), set[str]()
    for stop, _, outcome in Search(searched, strategy).verdicts():
        if isinstance(stop, Quiescent):
            outcomes.add(outcome)
        else:
            findings.add(name_of(stop))
    return All(strategy, frozenset(outcomes), frozenset(findings))


@functools.cache
def found_by(name: str, scene: str, policy: str, cpus: int = 2) -> All:
    searched = subject(scene, policy, cpus=cpus)
    return search_all(searched, make_strategy(name, searched, Budget(), 1))


def search_by(name: str, scene: str, policy: str, budget: Budget, seed: int = 1) -> Search:
    """Search on, findings or not, until the budget is used up."""
    searched = subject(scene, policy)
    return Search(searched, make_strategy(name, searched, budget, seed), seed).run(keep_going=True)
