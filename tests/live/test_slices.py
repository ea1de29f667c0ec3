"""However a machine is advanced, it makes the run that kactors.run makes."""

from functools import cache

import pytest
from hypothesis import given, settings, strategies as st

from kactors import run
from kactors.live import LiveMachine, Pause
from kactors.live.machine import Quota
from protocols.service.commands import Until
from protocols.stop import EventLimit
from tests.live.scenes import ALL, COUNTED, EBIZZY, SAME_ADDRESS, SCENARIOS, US, in_slices, ran

SLICES = st.lists(
    st.tuples(st.integers(1, 90), st.none()) | st.tuples(st.none(), st.integers(100, 40 * US)),
    min_size=1,
    max_size=6,
)


@cache
def at_once(name):
    return run(SCENARIOS[name])


@pytest.mark.parametrize("name", SCENARIOS)
@settings(max_examples=5, deadline=None)
@given(sizes=SLICES)
def test_slices_of_any_size_make_one_run(name, sizes):
    assert in_slices(LiveMachine(SCENARIOS[name]), sizes) == at_once(name)


@pytest.mark.parametrize("name", SCENARIOS)
def test_one_delivery_at_a_time_makes_the_same_run(name):
    assert in_slices(LiveMachine(SCENARIOS[name]), [(1, None)]) == at_once(name)


def test_a_limit_on_deliveries_is_met_before_anything_is_told():
    for events_max in range(20, at_once("same-address").events, 3):
        scenario = SAME_ADDRESS.model_copy(update={"events_max": events_max})
        assert in_slices(LiveMachine(scenario), [(1, None)]) == run(scenario)


@pytest.mark.parametrize("name", ["ebizzy", "bound"])
def test_a_predicate_that_never_holds_changes_nothing(name):
    machine = LiveMachine(SCENARIOS[name])
    until = Until(quantity="oom_kills", value=10)
    while machine.advance(events_max=50, until=until) is Pause.BUDGET:
        pass
    assert machine.result() == at_once(name)


@settings(max_examples=20, deadline=None)
@given(events=st.integers(1, 900), sizes=SLICES)
def test_a_position_has_one_state(events, sizes):
    """Numbers and what is pending follow from deliveries and time alone, tracepoints on their way included."""
    direct, sliced = LiveMachine(EBIZZY), LiveMachine(EBIZZY)
    direct.advance(events_max=events)
    for size, ns in sizes * 1_000:
        left = events - sliced.stats().events
        if not left:
            break
        now_ns = sliced.stats().now_ns
        sliced.advance(
            events_max=left if size is None else size, until_ns=None if ns is None else now_ns + ns, until_events=events
        )
    if sliced.stats().now_ns == direct.stats().now_ns:
        assert sliced.stats() == direct.stats()
        assert sliced.state("engine") == direct.state("engine")


@pytest.mark.parametrize("name", ["ebizzy", "same-address", "munmap-vs-fault"])
def test_it_is_in_one_state_at_a_position_whether_it_came_by_time_or_by_steps(name):
    by_time, by_steps = LiveMachine(SCENARIOS[name]), LiveMachine(SCENARIOS[name])
    same = 0
    while by_time.advance(events_max=ALL, until_ns=by_time.state("engine")["next_ns"]) is Pause.TIME and same < 200:
        here = by_time.position()
        by_steps.advance(events_max=ALL, until_events=here.events)
        if by_steps.position() == here:
            same += 1
            assert by_steps.stats() == by_time.stats()
            assert by_steps.state("engine") == by_time.state("engine")
    assert same > 50


def test_the_budget_is_kept_to_the_delivery():
    machine = LiveMachine(EBIZZY)
    for total in (1, 64, 65, 128, 700):
        assert machine.advance(events_max=total - machine.stats().events) is Pause.BUDGET
        assert machine.stats().events == total
    assert machine.advance(events_max=0) is Pause.BUDGET
    assert machine.stats().events == 700


def test_it_stops_at_an_instant_even_where_nothing_happens():
    machine = LiveMachine(EBIZZY)
    assert machine.advance(events_max=ALL, until_ns=123_456) is Pause.TIME
    assert machine.position().now_ns == 123_456
    assert machine.advance(events_max=ALL, until_ns=100) is Pause.TIME
    assert machine.position().now_ns == 123_456
    assert machine.stop is None


def test_deliveries_at_the_instant_are_made():
    machine = LiveMachine(EBIZZY)
    machine.advance(events_max=200)
    at_ns = machine.state("engine")["next_ns"]
    assert machine.advance(events_max=ALL, until_ns=at_ns) is Pause.TIME
    assert machine.stats().events > 200
    assert machine.state("engine")["next_ns"] > at_ns


def test_it_stops_at_a_number_of_deliveries():
    machine = LiveMachine(EBIZZY)
    assert machine.advance(events_max=ALL, until_events=321) is Pause.EVENTS
    assert machine.advance(events_max=ALL, until_events=300) is Pause.EVENTS
    assert machine.stats().events == 321


def test_a_goal_beyond_the_end_ends():
    assert LiveMachine(EBIZZY).advance(events_max=ALL, until_ns=10 * EBIZZY.until_ns) is Pause.ENDED
    assert LiveMachine(SAME_ADDRESS).advance(events_max=ALL, until_ns=10**12) is Pause.ENDED


def test_the_end_is_told_at_its_position():
    """No call that delivers nothing is needed to find out that the last delivery was the last."""
    events = at_once("same-address").events
    machine = LiveMachine(SAME_ADDRESS)
    assert machine.advance(events_max=events) is Pause.ENDED
    assert machine.stop.kind == "quiescent"
    assert machine.advance(events_max=5) is Pause.ENDED


@pytest.mark.parametrize(("op", "value"), [(">=", 10), ("==", 10)])
def test_a_predicate_stops_at_the_first_delivery_after_which_it_holds(op, value):
    one, other = LiveMachine(EBIZZY), LiveMachine(EBIZZY)
    until = Until(quantity="faults", op=op, value=value)
    assert one.advance(events_max=ALL, until=until) is Pause.PREDICATE
    assert one.stats().faults == 10
    while other.advance(events_max=3, until=until) is Pause.BUDGET:
        pass
    assert other.position() == one.position()
    assert one.advance(events_max=ALL, until=until) is Pause.PREDICATE
    assert one.position() == other.position()


def test_a_predicate_may_fall():
    machine = LiveMachine(EBIZZY)
    before = machine.stats().free_pages
    assert (
        machine.advance(events_max=ALL, until=Until(quantity="free_pages", op="<=", value=before - 1))
        is Pause.PREDICATE
    )
    assert machine.stats().free_pages < before


def test_the_quota_ends_as_the_scenarios_limit_does():
    assert ran(LiveMachine(EBIZZY, limits=Quota(events_max=500))).stop == EventLimit(events=500)
    assert ran(LiveMachine(COUNTED, limits=Quota(events_max=10_000))).stop == EventLimit(events=777)
