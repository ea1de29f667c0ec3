"""The SRCU variant of 2014: the section instead of a reference, the blocking lock, kworkers that free VMAs."""

import pytest

from kactors.kernel.accounting import Spent
from kactors.policies import load_policy
from protocols.rcu import VMA_SRCU, SrcuReadUnlock, VmaCallbacks
from protocols.tracepoints import IrqDisable, SpfAbort
from tests.accounting import assert_settled
from tests.actors.programs import one_write, with_history
from tests.actors.scenes import BASE, PAGE, Delivered, Heard, played, wait_until
from tests.policies.searched import searched
from tests.policies.steps import START_NS, Requests, asked, counted, late_write

POLICY = "spf-srcu"
FIRST_WRITE = [
    "ReadPte",
    "SrcuReadLock",  # B1
    "CopyVma",
    "ReadPmd",  # B3, with irqs off
    "ReadPte",
    "ReadSequence",  # B2
    "ReadSequence",  # B4, with irqs off
    "LockPte",
    "ReadSequence",
    "SetPte",
    "UnlockPte",
    "SrcuReadUnlock",
    "ReadPte",
]


def names(requests):
    return [request for _, request in requests]


def test_a_first_write():
    assert names(asked(POLICY, with_history)) == FIRST_WRITE


def test_it_walks_and_commits_with_irqs_off():
    heard = Heard(IrqDisable)
    played(late_write, policy=POLICY, set_up=with_history, observers=[heard])
    paths = [disable.path for at_ns, _, disable in heard.all if at_ns >= START_NS]
    assert paths == ["page table walk", "pte_map_lock"]


def test_a_single_thread_speculates_too():
    async def alone(thread):
        await with_history(thread)
        await thread.touch(BASE)

    _, result = played(set_up=alone, policy=POLICY)
    assert result.counters.spf == 1


def test_a_hole_leaves_no_section_open():
    delivered = Delivered(SrcuReadUnlock)
    machine, result = played(
        lambda thread: thread.touch(0x1000), policy=POLICY, set_up=with_history, observers=[delivered]
    )
    assert result.fault_paths["sigsegv"] == 1
    assert_settled(machine)


def test_after_an_abort_the_section_ends_and_the_classic_path_looks_anew():
    async def protect(thread):
        await thread.compute(50_000)
        await thread.mprotect(BASE + 5 * PAGE, PAGE, writable=False)

    reasons, requests = Heard(SpfAbort), Requests("cpu0", 0)
    machine, result = played(
        one_write,
        protect,
        policy=POLICY,
        set_up=with_history,
        costs={"clear_page_ns": 100_000},
        observers=[reasons, requests],
    )
    assert [abort.reason for abort in reasons.of(SpfAbort)][-1] == "spf_vma_changed"
    assert result.transient.wasted == 1
    said = names(requests.all)
    last = len(said) - 1 - said[::-1].index("SrcuReadUnlock")
    assert said[last + 1 : last + 3] == ["DownRead", "FindVma"]
    assert_settled(machine)


def test_counting_oneself_in_and_out_moves_no_cache_line():
    took = []

    async def sections(thread):
        for number in range(3):
            await wait_until(thread, START_NS * (number + 1))
            began_ns = thread.cpu.clock_ns
            index = await thread.cpu.srcu_read_lock(VMA_SRCU)
            took.append(thread.cpu.clock_ns - began_ns)
            thread.cpu.srcu_read_unlock(VMA_SRCU, index)

    machine, _ = played(sections, sections, policy=POLICY, set_up=with_history)
    assert took == [machine.system.machine.atomic_ns] * 6


def unmapping(lookup):
    """Unmap on CPU 0 while CPU 1 computes; return the machine and the callbacks by CPU."""
    callbacks = Delivered(VmaCallbacks)

    async def unmap(thread):
        await wait_until(thread, START_NS)
        await thread.munmap(BASE, 10 * PAGE)
        for _ in range(100):
            await thread.compute(10_000)

    async def fault(thread):
        await thread.touch(BASE)
        for _ in range(100):
            await thread.compute(10_000)

    machine, _ = played(
        unmap, fault, policy=POLICY, set_up=with_history, observers=[callbacks], policy_options={"vma_lookup": lookup}
    )
    assert_settled(machine)
    assert not machine.system.mm.vmas.limbo.vma_ids()
    return machine, callbacks.all


def test_the_cpu_that_unmapped_switches_to_a_kworker_and_back_for_the_callback():
    """B6: this is what the scheduling of SRCU's callbacks costs."""
    machine, ((_, who, callbacks),) = unmapping("srcu")
    assert (who, callbacks.kworker, len(callbacks.vma_ids)) == ("cpu0", True, 1)
    in_softirq, ((_, _, softirq),) = unmapping("rcu")
    assert (softirq.kworker, softirq.scan) == (False, 0)
    more_ns = machine.system.cpus[0].spent[Spent.SWITCH] - in_softirq.system.cpus[0].spent[Spent.SWITCH]
    assert more_ns == 2 * machine.system.machine.switch_ns + callbacks.scan
    assert callbacks.scan > 0


def test_callbacks_of_one_tick_go_together():
    callbacks = Delivered(VmaCallbacks)

    async def unmap_some(thread):
        await wait_until(thread, START_NS)
        for page in range(0, 10, 2):
            await thread.munmap(BASE + page * PAGE, PAGE)
        for _ in range(100):
            await thread.compute(10_000)

    machine, _ = played(
        unmap_some,
        one_write,
        policy=POLICY,
        set_up=with_history,
        observers=[callbacks],
        costs={"tick_ns": 200_000},
    )
    assert_settled(machine)
    assert max(len(due.vma_ids) for _, _, due in callbacks.all) == 5


def test_a_section_that_had_begun_keeps_the_area():
    callbacks = Delivered(VmaCallbacks)

    async def reader(thread):
        index = await thread.cpu.srcu_read_lock(VMA_SRCU)
        vma = await thread.cpu.copy_vma(BASE)
        await thread.compute(300_000)
        await thread.cpu.vma_has_changed(vma)
        thread.cpu.srcu_read_unlock(VMA_SRCU, index)

    async def unmap(thread):
        await wait_until(thread, START_NS)
        await thread.munmap(BASE, 10 * PAGE)
        for _ in range(100):
            await thread.compute(10_000)

    machine, result = played(unmap, reader, policy=POLICY, set_up=with_history, observers=[callbacks])
    assert result.stop.kind == "quiescent"
    assert callbacks.all[-1][0] >= 300_000
    assert_settled(machine)


def test_a_killed_thread_leaves_its_section():
    """As tests/actors/test_out_of_memory.py for the other policies: the page never comes."""
    machine, result = played(
        *[fill] * 2, policy=POLICY, set_up=with_history, costs={"memory_mib": 2, "page_cache_mib": 0}
    )
    assert result.memory.oom_kills == 1
    assert not any(any(domain.readers) for domain in machine.system.mm.grace_periods._domains.values())


async def fill(thread):
    base = await thread.mmap(2_000 * PAGE)
    for page in range(2_000):
        await thread.touch(base + page * PAGE)


# --- the lock --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "finding"),
    [({}, "deadlock"), ({"pte_lock": "trylock"}, None)],
)
def test_the_blocking_lock_deadlocks_as_the_real_one_did(options, finding):
    """CPU 0 flushes under the PTE lock and waits for CPU 1, which spins for that lock with irqs off."""
    assert searched("mail-deadlock", POLICY, **options) == finding


@pytest.mark.parametrize("scene", ["collapse-fault", "munmap-table", "munmap-page"])
def test_elsewhere_no_interleaving_breaks_it(scene):
    assert searched(scene, POLICY) is None


@pytest.mark.parametrize(
    ("dropped", "scene", "finding"),
    [
        ("srcu_section", "munmap-page", "vma_use_after_free"),
        ("last_vma_check", "munmap-page", "pte_in_unmapped_area"),
        ("walk_irqs_off", "munmap-table", "freed_table_touched"),
    ],
)
def test_what_each_check_protects_from(dropped, scene, finding):
    assert searched(scene, f"{POLICY}-without-{dropped}") == finding


# --- vma_lookup, on any of the series ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lookup", "asks"),
    [
        ("mmap_sem", ["DownRead", "FindVma", "RefVma", "UpRead"]),
        ("rwlock", ["GetVma"]),
        ("srcu", ["SrcuReadLock", "CopyVma"]),
        ("rcu", ["ReadTreeSeq", "CopyVma", "RefVma", "ReadTreeSeq"]),
    ],
)
@pytest.mark.parametrize("policy", ["spf-srcu", "spf-v9", "spf-v11", "spf-rcu"])
def test_each_look_up_goes_with_each_version(policy, lookup, asks):
    said = names(asked(policy, with_history, policy_options={"vma_lookup": lookup}))
    assert said[1 : 1 + len(asks)] == asks
    assert said[-2] == ("SrcuReadUnlock" if lookup == "srcu" else "PutVma")
    assert load_policy(policy, {"vma_lookup": lookup}).vma_readers == {"srcu": VMA_SRCU, "rcu": ""}.get(lookup)


@pytest.mark.parametrize("lookup", ["mmap_sem", "srcu", "rcu"])
def test_with_each_look_up_version_9_is_right_in_every_interleaving(lookup):
    assert searched("munmap-page", "spf-v9", vma_lookup=lookup) is None


def test_successes_are_no_vmstat_counter():
    counts, result = counted(late_write, policy=POLICY, prefix="sp")
    assert (counts, result.counters.spf) == ({}, 1)
