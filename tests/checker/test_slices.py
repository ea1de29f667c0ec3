"""A search in slices: the same as in one go, and never long between two of them."""

from dataclasses import replace

import pytest

from kactors.checker.job import Job, Watch, searching, told
from kactors.checker.slices import finish
from kactors.checker.space import Space
from kactors.checker.strategies.portfolio import Portfolio
from kactors.checker.strategies.strategy import Budget
from kactors.checker.strategies.walks import SLICE_MOVES
from kactors.cli.searching import search
from protocols.scenario import Scenario

CLEAN = Job(Scenario(workload="munmap-page", machine="small"))
LIVELOCK = Job(Scenario(workload="mail-deadlock", machine="small", policy="broken-blocking-spin"))
MOVES_BETWEEN = 16 * SLICE_MOVES
"""Moves that a slice may make: POS looks at what every channel would bring as well."""


def slices(work, moves):
    """The result of the work, and the most moves that it made between two slices."""
    most = before = 0
    while True:
        try:
            next(work)
        except StopIteration as done:
            return done.value, most
        most, before = max(most, moves[0] - before), moves[0]


@pytest.fixture
def moves(monkeypatch):
    """How often a search has asked what a move leads to."""
    made = [0]
    move = Space.move

    def count(space, *given):
        made[0] += 1
        return move(space, *given)

    monkeypatch.setattr(Space, "move", count)
    return made


@pytest.mark.parametrize("strategy", ["portfolio", "exhaustive", "dpor", "pos"])
def test_little_is_done_between_two_slices_until_the_story_is_told(moves, strategy):
    job = replace(LIVELOCK, strategy=strategy)
    covered, most = slices(searching(job, Watch()), moves)
    assert covered.finding is not None
    assert most <= MOVES_BETWEEN


def test_the_strategies_make_pauses_of_their_own(moves):
    subject = CLEAN.subject()
    portfolio = Portfolio(subject.space, Budget(schedules=200), 1, subject.dependence)
    _, most = slices((None for _ in portfolio.slices()), moves)
    assert most <= MOVES_BETWEEN


def test_a_finding_is_told_in_slices_but_for_its_last_run(moves):
    covered = finish(searching(LIVELOCK, Watch()))
    searched, most = slices(told(LIVELOCK, covered, shrunk=True), moves)
    assert searched.found is not None
    assert most <= max(MOVES_BETWEEN, covered.finding and len(covered.finding[1]))


def test_it_is_the_same_search_in_several_processes():
    job = replace(CLEAN, strategy="random", schedules_max=3000)
    alone, shared = finish(searching(job, Watch())), search(job, 2, Watch())
    assert finish(told(job, alone, shrunk=True)) == finish(told(job, shared, shrunk=True))
