"""A search in pieces: numbered schedules that are the same wherever they are drawn, parts that add up in one order."""

from itertools import islice, pairwise

import pytest

from kactors.checker.covered import Covered
from kactors.checker.pieces import PIECE_SCHEDULES, Explorer, Piece, add_up, plan
from kactors.checker.search import WALKS, Search, make_strategy
from kactors.checker.strategies.portfolio import MEMBERS
from kactors.checker.strategies.strategy import Budget
from kactors.checker.subject import Subject
from protocols.scenario import Scenario
from protocols.stop import Quiescent

CLEAN = Scenario(workload="munmap-vs-fault", machine="small", options={"pages": 1})
DEADLOCK = CLEAN.model_copy(update={"policy": "broken-blocking-spin", "costs": {"mmu_gather_pages": 1}})


def explorer(scenario=CLEAN, **options):
    return Explorer(lambda: Subject(scenario), Budget(**options), seed=1)


def searched(scenario, strategy, schedules_max=None):
    *_, total = add_up(map(explorer(scenario).explore, plan(strategy, schedules_max)), schedules_max)
    return total


def test_walks_are_cut_into_pieces_that_follow_each_other():
    pieces = list(plan("pos", PIECE_SCHEDULES + 3))
    assert pieces == [Piece(("pos",), 0, PIECE_SCHEDULES), Piece(("pos",), PIECE_SCHEDULES, 3)]


def test_a_portfolio_takes_turns_and_draws_no_schedule_twice():
    pieces = list(islice(plan("portfolio", None), 12))
    drawn = [piece for piece in pieces if piece.walks]
    assert [bool(piece.walks) for piece in pieces] == [True, False] * 6
    assert all(piece.walks == MEMBERS for piece in drawn)
    for before, after in pairwise(drawn):
        assert after.first == before.first + before.count


def test_a_portfolio_draws_no_more_than_it_may():
    pieces = list(plan("portfolio", 203))
    assert 203 <= sum(piece.count * len(piece.walks) for piece in pieces) < 203 + len(MEMBERS)


@pytest.mark.parametrize("name", WALKS)
def test_a_schedule_is_the_same_whoever_draws_it(name):
    subject = Subject(CLEAN)
    ways = [end.moves for end in WALKS[name](subject, Budget(schedules=12), 1, 0).ends()]
    later = [end.moves for end in WALKS[name](Subject(CLEAN), Budget(schedules=4), 1, 8).ends()]
    assert later == ways[8:]
    assert len(set(ways)) > 1


def test_pieces_of_walks_come_to_what_one_walk_does():
    subject = Subject(CLEAN)
    one = Search(subject, make_strategy("random", subject, Budget(schedules=60), 1)).run().covered()
    total = Covered()
    for first in (0, 20, 40):
        total.add(explorer().explore(Piece(("random",), first, 20)))
    assert (total.schedules, total.steps, total.depth) == (one.schedules, one.steps, one.depth)
    assert total.outcomes == one.outcomes
    assert not total.over
    assert not total.complete


def test_the_exhaustive_search_goes_on_where_its_last_piece_ended():
    here = explorer()
    parts = [here.explore(Piece((), 0, 500))]
    while not parts[-1].over:
        parts.append(here.explore(Piece((), 0, 500)))
    assert len(parts) > 2
    total = Covered()
    for part in parts:
        total.add(part)
    whole = Search(subject := Subject(CLEAN), make_strategy("exhaustive", subject, Budget(), 1)).run().covered()
    assert total.complete
    assert (total.schedules, total.steps, total.traces) == (whole.schedules, whole.steps, whole.traces)
    assert (total.states, total.taken) == (whole.states, whole.taken)


def test_a_clean_portfolio_ends_when_all_is_covered():
    total = searched(CLEAN, "portfolio")
    assert total.complete
    assert total.finding is None
    assert total.traces is not None


@pytest.mark.parametrize("strategy", ["portfolio", "random", "pos", "fair-pct"])
def test_the_deadlock_of_the_mail_is_found(strategy):
    total = searched(DEADLOCK, strategy, 4_000)
    assert total.finding is not None
    assert total.finding[0].kind == "deadlock"


def test_nothing_counts_that_follows_a_finding():
    found = (Quiescent(), ())
    parts = iter([Covered(schedules=1), Covered(schedules=2, finding=found), Covered(schedules=4)])
    assert [total.schedules for total in add_up(parts, None)][-1] == 3
    assert next(parts).schedules == 4


def test_the_first_finding_is_kept_when_the_search_goes_on():
    first, second = (Quiescent(), ()), (Quiescent(), (((0, -1), 0),))
    parts = [Covered(finding=first), Covered(finding=second), Covered(over=True)]
    totals = list(add_up(parts, None, keep_going=True))
    assert len(totals) == 3
    assert totals[-1].finding is first


def test_a_clock_that_has_run_out_ends_pieces_of_both_kinds():
    here = explorer(expired=lambda: True)
    assert here.explore(Piece(("random",), 0, 1_000)).over
    part = here.explore(Piece((), 0, 1_000_000))
    assert part.over
    assert not part.complete


def test_an_exhaustive_search_that_gave_schedules_up_ends_without_being_complete():
    total = Covered()
    pieces = plan("portfolio", None)
    for total in add_up(map(explorer(steps=40).explore, pieces), None):
        assert total.schedules < 10_000, "it goes on for ever"
    assert total.cut
    assert total.over
    assert not total.complete


def test_a_portfolio_in_one_piece_ends_too_when_schedules_were_given_up():
    subject = Subject(CLEAN)
    portfolio = make_strategy("portfolio", subject, Budget(schedules=10_000, steps=40), 1)
    Search(subject, portfolio).run()
    assert portfolio.schedules < 10_000
    assert portfolio.cut
    assert not portfolio.complete
