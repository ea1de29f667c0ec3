"""The review mail's question: how many pages do concurrent faults on one address allocate, and does a bound help?"""

import pytest

from kactors import Machine, Scenario, run
from kactors.machines import load_machine
from kactors.syscalls import UserThread
from kactors.workloads import Program
from protocols.scenario import Bounds, OnLimit

CPUS = (2, 5, 16, 80)


def same_address(policy: str, cpus: int, bounds: Bounds | None = None, **costs: int):
    scenario = Scenario(
        workload="same-address", machine="small", policy=policy, cpus=cpus, bounds=bounds or Bounds(), costs=costs
    )
    machine = Machine(scenario)
    result = machine.run()
    if result.stop.kind == "quiescent":
        assert machine.system.account_pages().conserved
        assert result.transient.now == 0
    return result


@pytest.mark.parametrize("cpus", CPUS)
@pytest.mark.parametrize("policy", ["spf-v9", "classic"])
def test_n_cpus_allocate_n_pages_for_one_address_and_waste_all_but_one(policy, cpus):
    # a page clears in the time in which every CPU can have entered: the windows overlap
    transient = same_address(policy, cpus, clear_page_ns=200_000).transient
    assert transient.peak_address == transient.peak_mm == transient.peak_machine == cpus
    assert transient.wasted >= cpus - 1
    assert transient.cpus_minus_1 == transient.threads_minus_1 == cpus - 1


@pytest.mark.parametrize("cpus", CPUS)
def test_one_speculation_at_a_time_allocates_one_page(cpus):
    result = same_address("spf-v9", cpus, Bounds(spf_inflight_max=1), clear_page_ns=200_000)
    assert result.transient.peak_address == 1
    assert result.transient.wasted == 0
    assert result.throughput.records == cpus


def test_the_bound_of_two_allows_two():
    result = same_address("spf-v9", 16, Bounds(spf_inflight_max=2), clear_page_ns=200_000)
    assert result.transient.peak_address == 2


def test_a_bound_that_falls_back_to_the_classic_path_bounds_nothing():
    """The classic path allocates before it takes the PTE lock as well (A8): those sent there over-allocate just so."""
    bounds = Bounds(spf_inflight_max=1, on_limit=OnLimit.CLASSIC)
    transient = same_address("spf-v9", 16, bounds, clear_page_ns=200_000).transient
    assert transient.peak_address == 16
    assert transient.wasted >= 15


def test_a_bound_that_stops_says_which_and_why():
    bounds = Bounds(spf_inflight_max=3, on_limit=OnLimit.STOP)
    stop = same_address("spf-v9", 16, bounds, clear_page_ns=200_000).stop
    assert (stop.kind, stop.bound, stop.limit, stop.value) == ("bound", "bounds.spf_inflight_max", 3, 4)
    assert stop.finding


def test_a_bound_per_address_leaves_other_addresses_alone():
    def peak(scope: str) -> int:
        base: list[int] = []

        async def set_up(t: UserThread) -> None:
            base.append(await t.mmap(16 * t.page_size))
            await t.touch(base[0])

        async def fault(t: UserThread) -> None:
            await t.touch(base[0] + t.number * t.page_size)

        bounds = Bounds(spf_inflight_max=1, spf_inflight_scope=scope)
        scenario = Scenario(machine="small", cpus=4, bounds=bounds, costs={"clear_page_ns": 200_000})
        return run(scenario, workload=Program([fault] * 4, set_up)).transient.peak_mm

    assert (peak("mm"), peak("address")) == (1, 4)


def test_transient_pages_over_the_bound_stop_the_run():
    bounds = Bounds(transient_pages_max=5)
    stop = same_address("classic", 16, bounds, clear_page_ns=200_000).stop
    assert (stop.kind, stop.bound, stop.limit, stop.value) == ("bound", "bounds.transient_pages_max", 5, 6)


def test_an_ipi_wait_over_the_bound_stops_the_run():
    bounds = Bounds(ipi_wait_max_ns=1_000)
    scenario = Scenario(workload="ebizzy", machine="x86-vm-16", until_ns=5_000_000, bounds=bounds)
    stop = run(scenario).stop
    assert (stop.kind, stop.bound) == ("bound", "bounds.ipi_wait_max_ns")
    assert stop.value > 1_000
    assert "cpu" in stop.cause


def test_how_long_an_idle_cpu_takes_to_wake_keeps_no_thread_from_the_barrier():
    scenario = Scenario(workload="same-address", machine="p8-80", policy="spf-v9")
    assert load_machine(scenario.machine).idle_exit_ns > 0
    assert run(scenario).transient.peak_address > 8
