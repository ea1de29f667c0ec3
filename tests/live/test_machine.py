"""The rest of a live machine: names that are wrong, quotas, crashes, results."""

import pytest

from kactors import Scenario, run
from kactors.engine.errors import ActorCrash, UsageError
from kactors.live import LiveMachine, LiveStats, Quota
from protocols.service.commands import Until
from protocols.service.sessions import Quantities
from protocols.stop import BoundExceeded
from protocols.tracepoints import FaultDone
from tests.actors.scenes import Heard
from tests.live.scenes import ALL, COLLAPSE, EBIZZY, SAME_ADDRESS, ran


@pytest.mark.parametrize("wrong", [{"policy": "best"}, {"machine": "pdp-11"}, {"workload": "doom"}])
def test_a_scenario_of_unknown_things_is_refused(wrong):
    with pytest.raises(UsageError):
        LiveMachine(Scenario(**wrong))


def test_there_is_no_result_before_the_end():
    with pytest.raises(UsageError, match="has not ended"):
        LiveMachine(EBIZZY).result()


def test_a_closed_machine_is_left_alone():
    machine = LiveMachine(EBIZZY)
    machine.advance(events_max=300)
    machine.close()
    machine.close()


def test_observers_hear_it_and_properties_can_be_left_out():
    machine = LiveMachine(SAME_ADDRESS, observers=[heard := Heard(FaultDone)], properties=False)
    result = ran(machine)
    assert len(heard.all) == result.counters.faults
    assert result == run(SAME_ADDRESS)


def test_statistics_are_those_of_the_result():
    machine = LiveMachine(EBIZZY)
    result = ran(machine)
    stats = machine.stats()
    counters = result.counters
    assert stats == LiveStats(
        events=result.events,
        now_ns=result.virtual_ns,
        faults=counters.faults,
        spf=counters.spf,
        spf_aborts=counters.faults - counters.spf - counters.residual,
        records=result.throughput.records,
        ipi_waits=result.ipi.all.count,
        ipi_wait_max_ns=result.ipi.all.max_ns,
        transient_pages=result.transient.now,
        transient_pages_peak=result.transient.peak_mm,
        pages_wasted=result.transient.wasted,
        free_pages=result.memory.free_pages,
        collapses=0,
        oom_kills=0,
    )
    assert stats.ipi_waits > 0


@pytest.mark.parametrize("quantity", Quantities.model_fields)
def test_every_quantity_can_be_waited_for(quantity):
    machine = LiveMachine(SAME_ADDRESS)
    machine.advance(events_max=ALL, until=Until(quantity=quantity, op=">=", value=10**9))
    assert machine.stop.kind == "quiescent"
    assert getattr(machine.stats(), quantity) >= 0


def test_more_cpus_than_the_quota_are_refused():
    with pytest.raises(UsageError, match="has 8 actors, at most 6 are allowed"):
        LiveMachine(SAME_ADDRESS, limits=Quota(actors_max=6))


def test_more_page_tables_than_the_quota_end_the_run():
    scenario = COLLAPSE.model_copy(update={"options": {"pmds": 3, "rounds": 1}})
    assert ran(LiveMachine(scenario, limits=Quota(actors_max=11))).stop.kind == "quiescent"
    stop = ran(LiveMachine(scenario, limits=Quota(actors_max=9))).stop
    assert isinstance(stop, BoundExceeded)
    assert (stop.bound, stop.limit, stop.value) == ("actors_max", 9, 10)


def test_a_crash_is_told_again_and_again():
    machine = LiveMachine(EBIZZY)
    machine.advance(events_max=100)
    machine._machine.system.mm._handlers.clear()
    for _ in range(2):
        with pytest.raises(ActorCrash, match="mm crashed on"):
            machine.advance(events_max=ALL)
