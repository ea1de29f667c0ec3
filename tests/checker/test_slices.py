"""A search in slices: the same as in one go, and never long between two of them."""

from dataclasses import replace

import pytest

from kactors.checker.job import Job, Searching, Watch, told
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
    covered, most = slices(Searching(job, Watch()).slices(), moves)
    assert covered.finding is not None
    assert most <= MOVES_BETWEEN


def test_the_strategies_make_pauses_of_their_own(moves):
    subject = CLEAN.subject()
    portfolio = Portfolio(subject.space, Budget(schedules=200), 1, subject.dependence)
    _, most = slices((None for _ in portfolio.slices()), moves)
    assert most <= MOVES_BETWEEN


def test_a_finding_is_told_in_slices_but_for_its_last_run(moves):
    covered = finish(Searching(LIVELOCK, Watch()).slices())
    searched, most = slices(told(LIVELOCK, covered, shrunk=True), moves)
    assert searched.found is not None
    # Whole in a slice are the last run, and the pilots' schedules from which walks learn how long one is.
    assert 10 * most < moves[0]
    assert most <= 4 * MOVES_BETWEEN


def test_it_is_the_same_search_in_several_processes():
    job = replace(CLEAN, strategy="random", schedules_max=3000)
    alone, shared = finish(Searching(job, Watch()).slices()), search(job, 2, Watch())
    assert finish(told(job, alone, shrunk=True)) == finish(told(job, shared, shrunk=True))


@pytest.mark.parametrize("strategy", ["portfolio", "exhaustive", "pos"])
def test_what_is_told_on_the_way_leads_to_what_it_comes_to(strategy):
    search = Searching(replace(CLEAN, strategy=strategy, schedules_max=100), Watch())
    work, told_so_far = search.slices(), [(0, 0)]
    while True:
        try:
            next(work)
        except StopIteration as done:
            covered = done.value
            break
        so_far = search.so_far()
        told_so_far.append((so_far.schedules, so_far.steps))
    assert told_so_far == sorted(told_so_far)
    last, all_ = told_so_far[-1], (covered.schedules, covered.steps)
    assert all_[0] - 1 <= last[0] <= all_[0]
    assert last[1] <= all_[1]


def ends_and_frontiers(job):
    """What the search covered, and its frontier after each slice."""
    search = Searching(job, Watch())
    work, frontiers = search.slices(), []
    while True:
        try:
            next(work)
        except StopIteration as done:
            return done.value, [*frontiers, search.frontier]
        frontiers.append(search.frontier)


@pytest.mark.parametrize("strategy", ["exhaustive", "plain", "dpor", "portfolio"])
def test_the_frontier_is_the_path_and_nothing_is_left_of_it_when_all_is_covered(strategy):
    covered, frontiers = ends_and_frontiers(replace(CLEAN, strategy=strategy))
    assert covered.complete
    assert 0 < max(frontiers) < covered.states
    assert frontiers[-1] == 0


@pytest.mark.parametrize("strategy", ["exhaustive", "dpor"])
def test_a_finding_leaves_the_frontier_where_it_was(strategy):
    covered, frontiers = ends_and_frontiers(replace(LIVELOCK, strategy=strategy))
    assert frontiers[-1] == len(covered.finding[1])


def test_walks_have_no_frontier():
    assert set(ends_and_frontiers(replace(CLEAN, strategy="pos", schedules_max=50))[1]) == {0}
