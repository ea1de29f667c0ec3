"""A barrier by itself: rounds, who sleeps and who is woken, in which order and when, and who pays."""

import pytest

from kactors.barrier import Barrier
from kactors.engine.waits import Holder
from protocols.barrier import (
    ARRIVE_AT_BARRIER,
    BARRIER_PASSED,
    ArrivedAtBarrier,
    BarrierOpened,
    OpenBarrier,
    SleepAtBarrier,
)
from protocols.scheduling import MUST_SLEEP, RETRY
from tests.actors.scenes import Alone

COSTS = {"wake_ns": 1_000, "ipi_exit_ns": 300, "futex_ns": 100}


@pytest.fixture
def barrier():
    """For three threads."""
    return Alone(lambda engine, machine: Barrier(engine, machine, 3), **COSTS)


def arrive(barrier, cpu, tag=None):
    (arrived,) = barrier.say(ARRIVE_AT_BARRIER, cpu=cpu, tag=tag)
    return arrived


def test_the_last_of_each_round_is_told_so(barrier):
    rounds = [[arrive(barrier, cpu) for cpu in (2, 0, 1)] for _ in range(3)]
    assert rounds == [
        [ArrivedAtBarrier(round=number, last=last) for last in (False, False, True)] for number in range(3)
    ]


def test_the_last_one_wakes_the_others_in_the_order_of_their_sleep(barrier):
    for cpu, tag in ((2, 1), (0, 2)):
        arrive(barrier, cpu, tag)
        assert barrier.say(SleepAtBarrier(round=0), cpu=cpu, tag=tag) == [MUST_SLEEP]
    arrive(barrier, 0, 3)
    opened, retry = barrier.say(OpenBarrier(round=0), cpu=0, tag=3)
    assert (opened, retry) == (BarrierOpened(woken=2, ipis=1), RETRY), "one of them sleeps on the waker's own CPU"
    (done_ns, _, _), (second_ns, its_tag, _) = barrier.cpus[0].heard[-2:]
    first_ns = barrier.cpus[2].heard[-1][0]
    assert (first_ns - done_ns, second_ns - done_ns, its_tag) == (1_300, 2_300, 2)
    assert barrier.say(OpenBarrier(round=0), cpu=0, tag=3) == [BarrierOpened(woken=0, ipis=0)]


def test_who_comes_too_late_to_sleep_goes_on(barrier):
    for cpu in range(3):
        arrive(barrier, cpu)
    assert barrier.say(SleepAtBarrier(round=0), cpu=1) == [BARRIER_PASSED]
    arrive(barrier, 1)
    assert barrier.say(SleepAtBarrier(round=1), cpu=1) == [MUST_SLEEP]
    assert barrier.say(OpenBarrier(round=0), cpu=2) == [BarrierOpened(woken=0, ipis=0)], "that one is of the next round"


def test_its_two_cache_lines_travel_apart(barrier):
    atomic_ns = barrier.machine.atomic_ns
    barrier.say(ARRIVE_AT_BARRIER, SleepAtBarrier(round=0))
    assert barrier.took(ARRIVE_AT_BARRIER) == atomic_ns
    assert barrier.took(SleepAtBarrier(round=0)) == atomic_ns + 100
    assert barrier.took(ARRIVE_AT_BARRIER, cpu=1) == atomic_ns + 50
    assert barrier.took(OpenBarrier(round=1)) == atomic_ns + 100, "the bucket has stayed where it was"
    assert barrier.took(OpenBarrier(round=1), cpu=1) == atomic_ns + 100 + 50


def test_who_waits_waits_for_those_who_are_missing(barrier):
    barrier.say(ARRIVE_AT_BARRIER, SleepAtBarrier(round=0), cpu=1)
    slept_ns = barrier.cpus[1].heard[-1][0]
    held = Holder(barrier.actor.name, ("its other threads",), slept_ns, "have not all arrived")
    assert barrier.actor.holder(barrier.cpus[1], 8) == held
    assert barrier.actor.holder(barrier.cpus[1], 9) is None
    assert barrier.actor.holder(barrier.cpus[0], 8) is None
