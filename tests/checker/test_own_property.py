"""A user's own property may relate what it likes: nothing that it hears is taken to commute, unless it says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pytest

from kactors.checker.search import make_strategy
from kactors.checker.strategies.strategy import Budget
from kactors.checker.subject import Subject
from kactors.engine.errors import UsageError
from kactors.engine.observer import Finding, Hearing
from kactors.observers.properties import Property
from kactors.observers.properties.store_lost import StoreLost
from protocols.base import Tracepoint
from protocols.scenario import Scenario
from protocols.tracepoints import UserLoad
from tests.checker.scenes import Scene, load
from tests.checker.searches import All, search_all


class InOrder(Property):
    """No load from a page before one from an earlier page: nothing that any of kactors' own would ask."""

    name: ClassVar[str] = "in_order"
    downwards: ClassVar[bool] = False

    def __init__(self) -> None:
        self._last = 0

    def tracepoints(self) -> Mapping[type[Tracepoint], Hearing]:
        return {UserLoad: self._loaded}

    def _loaded(self, _at_ns: int, who: str, loaded: UserLoad) -> Finding:
        last, self._last = self._last, loaded.vpn
        if last and (loaded.vpn > last if self.downwards else loaded.vpn < last):
            return self.violated(f"{who} loads from {loaded.vpn:#x} after {last:#x}")
        return None


class InOrderDownwards(InOrder):
    """The other way round: one of the two orders comes last in a search, and would be left out."""

    downwards = True


class Declared(InOrder):
    """It says, wrongly, that it keeps pages apart."""

    adds: ClassVar[frozenset[type[Tracepoint]]] = frozenset()


class DeclaredDownwards(Declared):
    downwards = True


class Alike(Scene):
    """Both threads do the same."""

    interchangeable: ClassVar[bool] = True


def found(kind: type[Property], strategy: str = "exhaustive") -> All:
    workload = Scene(load(0), load(1), touched=(0, 1))
    searched = Subject(Scenario(machine="small", policy="classic"), workload=workload, properties=lambda: [kind()])
    return search_all(searched, make_strategy(strategy, searched, Budget(), 1))


@pytest.mark.parametrize("strategy", ["exhaustive", "dpor", "plain"])
@pytest.mark.parametrize("kind", [InOrder, InOrderDownwards])
def test_an_order_that_only_a_property_sees_is_searched(kind: type[Property], strategy: str):
    assert found(kind, strategy).findings == {"in_order"}


def test_a_property_that_declares_what_it_relates_is_taken_at_its_word():
    searches = [found(kind) for kind in (Declared, DeclaredDownwards)]
    assert sorted(len(each.findings) for each in searches) == [0, 1]


def test_cpus_are_not_exchanged_under_a_property_that_may_tell_them_apart():
    scenario = Scenario(machine="small")
    ours, mine = (
        Subject(scenario, workload=Alike(load(0), load(0)), properties=lambda kind=kind: [kind()])
        for kind in (StoreLost, InOrder)
    )
    assert ours.space.alike
    assert not mine.space.alike


class OfTheClass(InOrder):
    """What it remembers is not its own."""

    seen: ClassVar[list[str]] = []

    def _loaded(self, _at_ns: int, who: str, _loaded: UserLoad) -> Finding:
        self.seen.append(who)
        return None


class NotPlain(InOrder):
    def __init__(self) -> None:
        super().__init__()
        self.lines = (line for line in ("one", "two"))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (OfTheClass, "property in_order has changed an attribute of its class"),
        (NotPlain, "property in_order: a search copies and compares what it remembers, .*generator"),
    ],
)
def test_a_property_that_a_search_cannot_follow_is_refused(kind: type[Property], message: str):
    with pytest.raises(UsageError, match=message):
        found(kind)
