"""Schedules drawn at random: each by its number alone. And a finding: made shorter, and its critical move."""

import pytest

from kactors import Scenario
from kactors.checker.critical import critical_move
from kactors.checker.shrink import same_finding, shrink, successors
from kactors.checker.strategies.strategy import Budget
from kactors.checker.strategies.walks import Delay, FairPct, Pct, Pos, RandomWalk
from kactors.checker.subject import Subject
from protocols.stop import Quiescent


@pytest.fixture(scope="module")
def faults():
    return Subject(Scenario(workload="two-faults", machine="small"))


@pytest.fixture(scope="module")
def deadlocks():
    return Subject(Scenario(workload="mail-deadlock", machine="small", policy="broken-blocking-spin"))


def walk(kind, subject, budget, first=0):
    more = (subject.dependence,) if kind is Pos else ()
    return kind(subject.space, budget, 7, *more, first=first)


@pytest.mark.parametrize("kind", [RandomWalk, Pct, FairPct, Pos, Delay])
def test_a_schedule_is_the_same_whatever_ran_before_it(faults, kind):
    ten = {end.number: end.moves for end in walk(kind, faults, Budget(schedules=10)).ends()}
    alone = {end.number: end.moves for end in walk(kind, faults, Budget(schedules=3), first=7).ends()}
    assert sorted(ten) == list(range(10))
    assert alone == {number: ten[number] for number in (7, 8, 9)}
    assert len(set(ten.values())) > 1


def test_without_delays_there_is_one_schedule(faults):
    class Never(Delay):
        delays = 0

    assert len({end.moves for end in walk(Never, faults, Budget(schedules=5)).ends()}) == 1


def test_the_bound_of_pct_falls_with_each_schedule(faults):
    pct = walk(Pct, faults, Budget(schedules=50))
    assert pct.miss_probability() == 1
    assert len(list(pct.ends())) == 50
    once = 1 / (pct.channels * pct.steps ** (pct.orderings - 1))
    assert pct.miss_probability() == pytest.approx((1 - once) ** 50)


def findings(subject, count):
    found = []
    for end in walk(RandomWalk, subject, Budget(schedules=400)).ends():
        verdict = subject.space.verdict(end.state)
        if not isinstance(verdict, Quiescent):
            found.append((verdict, end.moves))
    return found[:count]


def test_what_is_shrunk_is_no_longer_and_the_same_finding(deadlocks):
    lengths = set()
    for verdict, moves in findings(deadlocks, 4):
        short = shrink(deadlocks.space, moves, verdict)
        assert len(short) <= len(moves)
        assert same_finding(deadlocks.rerun(short).stop, verdict)
        lengths.add(len(short))
    assert len(lengths) == 1, "each comes down to the shortest that there is"


def test_after_the_critical_move_no_end_is_clean_and_before_it_one_is(deadlocks):
    ((verdict, moves),) = findings(deadlocks, 1)
    short = shrink(deadlocks.space, moves, verdict)
    critical = critical_move(deadlocks.space, short)
    states = [deadlocks.space.first]
    for move in short:
        states.append(deadlocks.space.move(states[-1], move)[0])
    assert can_end_well(deadlocks.space, states[critical])
    assert not can_end_well(deadlocks.space, states[critical + 1])


def can_end_well(space, state):
    """Return whether any continuation comes to rest: a search of its own, to hold the other against."""
    seen, layer = {state.number}, [state]
    while layer:
        if any(isinstance(space.verdict(each), Quiescent) for each in layer):
            return True
        after = {end.number: end for each in layer for _, end in successors(space, each)}
        layer = [end for number, end in after.items() if number not in seen]
        seen |= after.keys()
    return False
