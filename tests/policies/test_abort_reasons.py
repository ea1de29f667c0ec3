"""For what a speculation gives up: the reason in perf's words, the address, and what it has let go by then."""

import pytest

from kactors.policies.spf_v9 import SpfV9
from protocols.host import StealCpu
from protocols.tracepoints import LockAcquired, LockReleased, MmPageAlloc, SpfAbort
from protocols.vma import VmaKind, VmaRead, VmaSnapshot
from tests.accounting import assert_settled
from tests.actors.programs import one_write, with_history
from tests.actors.scenes import BASE, PAGE, Heard, Hypervisor, played, scene, wait_until

GOOD = VmaSnapshot(
    vma_id=1,
    start=BASE,
    end=BASE + 2 * PAGE,
    readable=True,
    writable=True,
    kind=VmaKind.ANON,
    anon_vma=True,
    hugepage=False,
    sequence=4,
)
SLOW_ZEROING = {"clear_page_ns": 100_000}


def changed(vma, **what):
    return vma.model_copy(update=what)


@pytest.mark.parametrize(
    ("change", "address", "reason"),
    [
        ({}, BASE, ""),
        ({}, BASE + 2 * PAGE - 1, ""),
        ({}, BASE + 2 * PAGE, "spf_vma_changed"),
        ({}, BASE - 1, "spf_vma_changed"),
        ({"sequence": 5}, BASE, "spf_vma_changed"),
        ({"anon_vma": False}, BASE, "spf_vma_noanon"),
        ({"kind": VmaKind.FILE}, BASE, "spf_vma_notsup"),
        ({"kind": VmaKind.STACK}, BASE, "spf_vma_notsup"),
        ({"kind": VmaKind.UFFD}, BASE, "spf_vma_notsup"),
        ({"sequence": 5, "kind": VmaKind.FILE}, BASE, "spf_vma_changed"),
        ({"anon_vma": False, "kind": VmaKind.FILE}, BASE, "spf_vma_notsup"),
        ({"anon_vma": False, "kind": VmaKind.STACK}, BASE, "spf_vma_noanon"),
    ],
)
def test_what_the_snapshot_alone_rules_out_in_the_order_of_the_protocol(change, address, reason):
    assert SpfV9().refuse(changed(GOOD, **change), address) == reason


def test_a_dropped_check_of_the_kind_still_leaves_file_areas_to_the_other_one():
    assert not SpfV9().kind_unsupported(changed(GOOD, kind=VmaKind.FILE))


@pytest.mark.parametrize(
    ("attached", "address", "reusable"),
    [
        (True, BASE, True),
        (True, BASE + 2 * PAGE - 1, True),
        (True, BASE + 2 * PAGE, False),
        (True, BASE - 1, False),
        (False, BASE, False),
    ],
)
def test_a_vma_is_used_again_only_where_it_is_still_the_right_one(attached, address, reusable):
    assert SpfV9().can_reuse_spf_vma(VmaRead(vma=GOOD, attached=attached), address) is reusable


@pytest.mark.parametrize(("write", "rights"), [(True, "writable"), (False, "readable")])
def test_each_access_needs_its_own_right(write, rights):
    none = changed(GOOD, readable=False, writable=False)
    assert SpfV9().access_permitted(changed(none, **{rights: True}), write=write)
    assert not SpfV9().access_permitted(changed(GOOD, **{rights: False}), write=write)


# --- what changes meanwhile, caught by the check that is left ---------------------------------------------------------


def aborts(policy, change, **options):
    """Let ``change`` happen while a speculation clears its page; return the aborts and the rest."""
    heard = Heard(SpfAbort, LockAcquired, LockReleased)

    async def later(thread):
        await thread.compute(50_000)
        await change(thread)

    machine, result = played(
        one_write, later, policy=policy, set_up=with_history, observers=[heard], costs=SLOW_ZEROING, **options
    )
    assert_settled(machine)
    return heard, result


def protect_elsewhere(thread):
    return thread.mprotect(BASE + 5 * PAGE, PAGE, writable=False)


@pytest.mark.parametrize(
    ("policy", "change", "reason"),
    [
        ("spf-v9", protect_elsewhere, "spf_vma_changed"),
        ("spf-v9-without-first_vma_check", protect_elsewhere, "spf_vma_changed"),
        ("spf-v9-without-first_vma_check", lambda thread: thread.munmap(BASE, 10 * PAGE), "spf_pmd_changed"),
        ("spf-v9-without-first_vma_check+pmd_check", protect_elsewhere, "spf_vma_changed"),
    ],
)
def test_whichever_check_comes_first_names_the_reason_and_the_address(policy, change, reason):
    heard, result = aborts(policy, change)
    assert heard.of(SpfAbort) == [SpfAbort(address=BASE, reason=reason)]
    assert result.transient.wasted == 1
    assert result.counters.spf == 0


def test_a_change_during_the_walk_is_found_before_a_page_is_allocated():
    """C9: the hypervisor takes the CPU away after the look-up, and gives it back when the writer is done."""
    heard = Heard(SpfAbort, MmPageAlloc)

    async def late_write(thread):
        await wait_until(thread, 100_000)
        await thread.touch(BASE)

    async def protect(thread):
        await wait_until(thread, 100_500)
        await protect_elsewhere(thread)

    machine = scene(late_write, protect, policy="spf-v9", set_up=with_history, observers=[heard])
    hypervisor = Hypervisor(machine.system.engine, 2)
    hypervisor.say(100_412, machine.system.cpus[0], StealCpu(duration=20_000))
    result = machine.run()
    assert_settled(machine)
    late = [told for at_ns, _, told in heard.all if at_ns > 100_000]
    assert late[0] == SpfAbort(address=BASE, reason="spf_vma_changed")
    assert [type(told) for told in late[1:]] == [MmPageAlloc], "the classic path's"
    assert result.transient.wasted == 0


def test_the_last_check_gives_the_pte_lock_back():
    heard, _ = aborts("spf-v9-without-first_vma_check", protect_elsewhere)
    at_cpu_0 = [
        type(told)
        for _, _, told in heard.all
        if type(told) in (LockAcquired, LockReleased) and told.lock == "pte_lock" and told.owner == "cpu0"
    ]
    assert len(at_cpu_0) >= 4, "the speculation takes the lock in vain, the classic path once more"
    assert at_cpu_0[::2] == [LockAcquired] * (len(at_cpu_0) // 2)
    assert at_cpu_0[1::2] == [LockReleased] * (len(at_cpu_0) // 2)


def test_a_pte_lock_that_somebody_holds_is_a_reason_of_its_own():
    async def hold(thread):
        table = (await thread.cpu.read_pmd(BASE)).table
        await thread.cpu.pte_lock(table, BASE + PAGE)
        await thread.compute(100_000)
        thread.cpu.pte_unlock(table)

    heard, result = aborts("spf-v9", hold)
    assert heard.of(SpfAbort) == [SpfAbort(address=BASE, reason="spf_pte_lock")]
    assert (result.transient.wasted, result.counters.spf) == (1, 0)


@pytest.mark.parametrize(
    ("kind", "writable", "reason"),
    [(VmaKind.FILE, True, "spf_vma_notsup"), (VmaKind.ANON, False, "spf_vma_access")],
)
def test_what_is_refused_at_once_names_the_address_too(kind, writable, reason):
    async def set_up(thread):
        await thread.mmap(10 * PAGE, address=BASE, kind=kind)
        await thread.touch(BASE + 9 * PAGE)
        if not writable:
            await thread.mprotect(BASE, 10 * PAGE, writable=False)

    heard = Heard(SpfAbort)
    played(one_write, policy="spf-v9", set_up=set_up, observers=[heard])
    assert heard.of(SpfAbort) == [SpfAbort(address=BASE, reason=reason)]
