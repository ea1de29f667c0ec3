"""Bounds and policies that change while the machine runs."""

import pytest

from kactors import run
from kactors.engine.errors import UsageError
from kactors.live import LiveMachine, Pause
from protocols.service.commands import SetBound, SetPolicy, Until
from protocols.stop import BoundExceeded
from tests.accounting import assert_settled
from tests.live.scenes import ALL, COLLAPSE_VS_FAULT, EBIZZY, SAME_ADDRESS, US, ran

SLOW = SAME_ADDRESS.model_copy(update={"costs": {"clear_page_ns": 50 * US}})
BEFORE_THE_WORKERS = 40


def started(scenario, events):
    machine = LiveMachine(scenario)
    machine.advance(events_max=events)
    return machine


def waiting(machine):
    return machine.state("mm")["admission"]["waiting"]


@pytest.mark.parametrize("scope", ["mm", "address"])
def test_a_bound_holds_from_then_on(scope):
    machine = started(SLOW, BEFORE_THE_WORKERS)
    machine.apply(SetBound(spf_inflight_max=1, spf_inflight_scope=scope))
    assert ran(machine).transient.peak_mm == 1
    assert run(SLOW).transient.peak_mm == 4
    assert_settled(machine._machine)


def test_lifting_a_bound_wakes_who_waits():
    machine = started(SLOW, BEFORE_THE_WORKERS)
    machine.apply(SetBound(spf_inflight_max=1))
    while not waiting(machine):
        machine.advance(events_max=1)
    machine.advance(events_max=ALL, until_ns=machine.stats().now_ns + 10 * US)
    assert len(next(iter(waiting(machine).values()))) == 3
    machine.apply(SetBound(spf_inflight_max=None))
    machine.advance(events_max=ALL, until_ns=machine.stats().now_ns + 10 * US)
    assert not waiting(machine)
    assert ran(machine).transient.peak_mm == 4
    assert_settled(machine._machine)


def test_a_bound_may_change_its_scope_under_those_who_are_inside():
    machine = started(SLOW, BEFORE_THE_WORKERS)
    machine.apply(SetBound(spf_inflight_max=2, spf_inflight_scope="address"))
    while not waiting(machine):
        machine.advance(events_max=1)
    machine.apply(SetBound(spf_inflight_scope="mm"))
    assert ran(machine).transient.peak_mm == 2
    assert_settled(machine._machine)


def test_one_may_be_set_while_speculations_are_in_flight():
    """They were never counted, so they are not counted out."""
    machine = LiveMachine(SLOW)
    machine.advance(events_max=ALL, until=Until(quantity="transient_pages", value=3))
    machine.apply(SetBound(spf_inflight_max=1))
    assert ran(machine).stop.kind == "quiescent"
    assert_settled(machine._machine)


def test_what_is_not_given_stays():
    machine = started(SLOW, BEFORE_THE_WORKERS)
    machine.apply(SetBound(spf_inflight_max=1, on_limit="classic"))
    machine.apply(SetBound(transient_pages_max=50))
    machine.apply(SetBound(ipi_wait_max_ns=None))
    machine.advance(events_max=5)
    bounds = machine.state("mm")["admission"]["bounds"]
    assert (bounds["spf_inflight_max"], bounds["on_limit"]) == (1, "classic")
    machine.apply(SetBound(spf_inflight_scope="address"))
    machine.advance(events_max=10)
    bounds = machine.state("mm")["admission"]["bounds"]
    assert (bounds["spf_inflight_max"], bounds["spf_inflight_scope"], bounds["on_limit"]) == (1, "address", "classic")


def test_the_bound_on_transient_pages_stops_the_run():
    machine = started(SLOW, BEFORE_THE_WORKERS)
    machine.apply(SetBound(transient_pages_max=2))
    stop = ran(machine).stop
    assert isinstance(stop, BoundExceeded)
    assert (stop.bound, stop.value) == ("bounds.transient_pages_max", 3)


def test_it_can_be_lifted():
    bounded = SLOW.model_copy(update={"bounds": SLOW.bounds.model_copy(update={"transient_pages_max": 2})})
    assert run(bounded).stop.kind == "bound"
    machine = started(bounded, BEFORE_THE_WORKERS)
    machine.apply(SetBound(transient_pages_max=None))
    assert ran(machine).stop.kind == "quiescent"


def test_the_bound_on_ipi_waits_stops_the_run():
    machine = started(COLLAPSE_VS_FAULT, 40)
    machine.apply(SetBound(ipi_wait_max_ns=100))
    stop = ran(machine).stop
    assert stop.bound == "bounds.ipi_wait_max_ns"
    assert "cpu" in stop.cause


def test_faults_that_begin_after_the_change_are_served_by_the_new_policy():
    machine = LiveMachine(EBIZZY)
    machine.advance(events_max=ALL, until=Until(quantity="spf", value=10))
    before = machine.stats()
    machine.apply(SetPolicy(policy="classic"))
    machine.advance(events_max=300)
    settled = machine.stats()
    result = ran(machine)
    assert result.counters.spf == settled.spf <= before.spf + EBIZZY.threads
    assert result.fault_paths["classic"] > run(EBIZZY).fault_paths["classic"]
    assert result.policy == "classic"
    assert result.scenario.policy == "spf-v9"


def test_a_collapse_under_way_ends_under_the_policy_that_it_began_with():
    machine = LiveMachine(COLLAPSE_VS_FAULT)
    machine.advance(events_max=ALL, until_ns=1_010 * US)
    vmas = machine.state("mm")["vmas"]["tree"]["vmas"]
    assert any(vma["sequence"] % 2 for vma in vmas)
    machine.apply(SetPolicy(policy="classic"))
    assert ran(machine).collapses == {"succeeded": 1}
    assert_settled(machine._machine)


def test_an_unknown_policy_changes_nothing():
    machine = started(EBIZZY, 500)
    with pytest.raises(UsageError, match="spf-v10: no such policy"):
        machine.apply(SetPolicy(policy="spf-v10"))
    assert machine.advance(events_max=ALL) is Pause.ENDED
    assert machine.result() == run(EBIZZY)
