"""Two states are one only if the same can happen: what lives in a suspended coroutine alone tells states apart."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from itertools import count
from typing import Any

import pytest

from kactors.checker import automata
from kactors.checker.frozen import freeze
from kactors.checker.search import make_strategy
from kactors.checker.strategies.strategy import Budget
from tests.checker.scenes import subject
from tests.checker.searches import found_by, search_all


class Pause:
    def __await__(self) -> Iterator[None]:
        yield


async def loop_position() -> None:
    for _ in (1, 1, 1, 1):
        await Pause()


async def variable() -> None:
    number = 0
    while number < 4:
        number += 1
        await Pause()


async def closure() -> None:
    number = 0

    async def inner() -> None:
        nonlocal number
        number += 1
        await Pause()

    while number < 4:
        await inner()


async def generator() -> None:
    def numbers() -> Iterator[int]:
        total = 0
        while total < 4:
            total += 1
            yield 0

    for _ in numbers():
        await Pause()


async def half_consumed() -> None:
    for _ in {1: 1, 2: 1, 3: 1, 4: 1}.values():
        await Pause()


async def shared_late() -> None:
    """A closure's variable has no value at first."""
    await Pause()
    await Pause()
    number = 1
    sum(number for _ in range(2))
    await Pause()
    number += 1
    await Pause()


async def line() -> None:
    await Pause()
    await Pause()
    await Pause()
    await Pause()


BODIES = (loop_position, variable, closure, generator, half_consumed, shared_late, line)


@pytest.mark.parametrize("body", BODIES)
def test_each_place_of_a_coroutine_is_a_state_of_its_own(body: Callable[[], Coroutine[Any, Any, None]]):
    one, other = body(), body()
    seen = set()
    for _ in range(4):
        one.send(None)
        other.send(None)
        assert freeze(one) == freeze(other)
        seen.add(freeze(one))
    assert len(seen) == 4
    one.close()
    other.close()


def test_aliases_count():
    shared: list[int] = []
    assert freeze([shared, shared]) != freeze([[], []])


def test_the_order_in_which_keys_came_does_not_count():
    assert freeze({("b", 1): 1, ("a", 2): 2}) == freeze({("a", 2): 2, ("b", 1): 1})
    assert freeze({2: 1, 1: 2}) == freeze({1: 2, 2: 1})
    assert freeze([1, 2]) != freeze([2, 1])


@pytest.mark.parametrize("policy", ["classic", "broken-irqs-on-no-checks"])
@pytest.mark.parametrize("scene", ["fault and mprotect", "fault and munmap of its page"])
def test_merging_loses_no_behaviour(scene: str, policy: str, monkeypatch: pytest.MonkeyPatch):
    merged = found_by("exhaustive", scene, policy)
    tokens = count()
    monkeypatch.setattr(automata, "freeze", lambda _actor: next(tokens))
    monkeypatch.setattr(automata.Automata, "_shared_state", lambda _self: None)
    searched = subject(scene, policy)
    apart = search_all(searched, make_strategy("exhaustive", searched, Budget(), 1))
    assert (apart.outcomes, apart.findings) == (merged.outcomes, merged.findings)
    # Decisions of the model that make no difference are one way only where states are recognised: softirqs are drawn.
    assert (apart.strategy.traces or 0) >= (merged.strategy.traces or 0)
    assert policy != "classic" or apart.strategy.traces == merged.strategy.traces
    assert searched.space.states > merged.strategy.space.states


def test_a_search_leaves_its_templates_as_they_were():
    searched = subject("fault and munmap of its page")
    templates = [node.template for node in searched.space.automata.nodes if node.template is not None]
    before = [freeze(template) for template in templates]
    search_all(searched, make_strategy("exhaustive", searched, Budget(), 1))
    assert [freeze(template) for template in templates] == before
    assert len(templates) >= 5


PROGRAM = """
from kactors.checker.schedules import write_schedule
from tests.checker.scenes import subject
from tests.checker.searches import search_by
from kactors.checker.strategies.strategy import Budget
for name, budget in (("exhaustive", Budget()), ("pos", Budget(schedules=20)), ("delay", Budget(schedules=20))):
    search = search_by(name, "fault and munmap of all", "broken-irqs-on-no-checks", budget)
    strategy = search.strategy
    print(name, strategy.traces, strategy.moves, search.subject.space.states, search.finding and search.finding[0])
    print(search.finding and write_schedule(search.subject.scenario, search.finding[1]))
    print(sorted(search.outcomes.items()))
"""


def test_the_hash_seed_changes_nothing():
    printed = set()
    for hash_seed in ("0", "1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
        )
        printed.add(done.stdout)
    assert len(printed) == 1
    assert "kactors1:" in printed.pop()


class Holder:
    def __init__(self, held: Any) -> None:
        self.held = held


@pytest.mark.parametrize(
    "make",
    [
        lambda: enumerate([1, 2, 3]),
        lambda: zip([1, 2, 3], (4, 5, 6), strict=True),
        lambda: reversed([1, 2, 3]),
        lambda: reversed((1, 2, 3)),
        lambda: iter({"a": 1}.items()),
    ],
)
def test_what_a_loop_has_half_consumed_is_told_apart(make: Callable[[], Iterator[Any]]):
    fresh, same, begun = make(), make(), make()
    next(begun)
    assert freeze(Holder(fresh)) == freeze(Holder(same)) != freeze(Holder(begun))
