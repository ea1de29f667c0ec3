"""A schedule that was damaged is refused with the move at which that shows."""

import pytest

from kactors.checker.schedules import check_moves, digest, read_schedule, write_schedule
from kactors.checker.search import Search, make_strategy, tell_schedule
from kactors.checker.strategies.strategy import Budget
from kactors.checker.subject import Subject
from kactors.engine.errors import UsageError
from protocols.scenario import Scenario

SCENARIO = Scenario(workload="munmap-vs-fault", machine="small", options={"pages": 1})


@pytest.fixture(scope="module")
def subject():
    return Subject(SCENARIO)


@pytest.fixture(scope="module")
def moves(subject):
    return next(make_strategy("random", subject, Budget(schedules=1), 1).ends()).moves


def test_a_schedule_that_can_be_run_is_let_through_and_read_as_written(subject, moves):
    check_moves(subject.space, moves)
    assert read_schedule(SCENARIO, write_schedule(SCENARIO, moves)) == moves


@pytest.mark.parametrize("move", [((9, 9), 0), ((0, 1), 0)])
def test_a_move_from_an_empty_channel_is_named(subject, moves, move):
    with pytest.raises(UsageError, match=rf"move 3 of {len(moves) + 1} .* nothing is under way there"):
        check_moves(subject.space, (*moves[:2], move, *moves[2:]))


def test_a_way_that_the_model_does_not_leave_open_is_named(subject, moves):
    (channel, _), *rest = moves
    with pytest.raises(UsageError, match=r"move 1 of .*\.7\) is not possible: there are 1 ways"):
        check_moves(subject.space, ((channel, 7), *rest))


def test_moves_after_the_end_are_refused(subject, moves):
    with pytest.raises(UsageError, match="the run has ended by then"):
        check_moves(subject.space, (*moves, moves[-1]))


def test_the_order_of_options_does_not_mark_a_schedule():
    one = SCENARIO.model_copy(update={"options": {"pages": 1, "tables": True}})
    other = SCENARIO.model_copy(update={"options": {"tables": True, "pages": 1}})
    assert digest(one) == digest(other) != digest(SCENARIO)


def test_a_schedule_without_its_end_is_told_as_far_as_it_goes(subject, moves):
    told = tell_schedule(subject, moves[:10])
    assert told.stop.kind == "events"
    assert told.stop.events == 10
    assert told.critical is None


def test_a_finding_that_is_run_again_is_told_as_it_was_found():
    broken = SCENARIO.model_copy(update={"policy": "broken-blocking-spin", "costs": {"mmu_gather_pages": 1}})
    subject = Subject(broken)
    found = Search(subject, make_strategy("portfolio", subject, Budget(), 1)).run().searched().found
    again = tell_schedule(Subject(broken), read_schedule(broken, found.schedule))
    assert again == found.model_copy(update={"shrunk_from": again.shrunk_from})
