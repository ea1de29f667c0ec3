"""protocols.md (e): a blocking PTE lock under irqs off deadlocks with munmap's flush under that lock."""

import pytest

from kactors import Scenario, run

MUNMAP = {"workload": "munmap-vs-fault", "machine": "small", "costs": {"mmu_gather_pages": 3}}
"""A batch of three pages: munmap has to flush before it drops the PTE lock, as with a full batch in the kernel."""

SEEDS = range(40)


def deadlocks(policy: str):
    results = [run(Scenario(policy=policy, seed=seed, **MUNMAP)) for seed in SEEDS]
    return [result for result in results if result.stop.kind == "deadlock"]


def test_a_blocking_spin_deadlocks_and_the_cycle_is_told():
    stops = [result.stop for result in deadlocks("broken-blocking-spin")]
    assert stops
    for stop in stops:
        assert stop.finding
        unmapper, faulter = stop.cycle
        assert (unmapper.waiter, unmapper.holder) == ("cpu0", "cpu1")
        assert unmapper.resource == "IPI ack of cpu1"
        assert unmapper.why == "irqs off in pte_map_lock"
        assert (faulter.waiter, faulter.holder) == ("cpu1", "cpu0")
        assert faulter.resource.startswith("PTE lock of ")
        assert 0 < faulter.since < unmapper.since or 0 < unmapper.since < faulter.since


@pytest.mark.parametrize("policy", ["spf-v9", "classic", "per-vma"])
def test_a_trylock_or_irqs_on_does_not(policy):
    assert deadlocks(policy) == []


def test_both_runtimes_find_the_same_deadlock():
    seed = deadlocks("broken-blocking-spin")[0].scenario.seed
    scenario = Scenario(policy="broken-blocking-spin", seed=seed, **MUNMAP)
    inline, trio = run(scenario), run(scenario, runtime="trio")
    assert inline.stop == trio.stop
    assert inline.fingerprint == trio.fingerprint
