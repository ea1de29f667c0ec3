"""What takes a dropped check's place, one by one: it finds nothing, permits everything, and holds on to nothing."""

import pytest

from kactors.kernel.pte import mk_pte
from kactors.policies import find_policy
from protocols.page_table import LockPte, TrylockPte
from protocols.vma import VmaKind, VmaReadLocked, VmaSnapshot, VmaStartWrite
from tests.accounting import assert_settled
from tests.actors.programs import one_write, with_history
from tests.actors.scenes import BASE, PAGE, PMD, Delivered, played, wait_until

ODD = VmaSnapshot(
    vma_id=1,
    start=BASE,
    end=BASE + PAGE,
    readable=False,
    writable=False,
    kind=VmaKind.UFFD,
    anon_vma=False,
    hugepage=False,
    sequence=1,
)


@pytest.mark.parametrize(
    ("policy", "check", "method", "arguments", "found"),
    [
        ("spf-v9", "sequence_odd", "sequence_odd", (ODD,), True),
        ("spf-v9", "anon_vma", "anon_vma_missing", (ODD,), True),
        ("spf-v9", "vma_bounds", "out_of_bounds", (ODD, BASE + PAGE), True),
        ("spf-v9", "pte_same", "pte_same", (0, mk_pte(5, write=True)), False),
        ("per-vma", "lock_sequence_recheck", "owned", (VmaReadLocked(vma=ODD, writer=True),), True),
        ("per-vma", "locked_bounds", "moved", (ODD, BASE + PAGE), True),
        ("per-vma", "pte_same", "pte_same", (0, mk_pte(5, write=True)), False),
        ("classic", "pte_same", "pte_same", (0, mk_pte(5, write=True)), False),
    ],
)
def test_a_dropped_check_answers_the_opposite_of_what_the_check_finds(policy, check, method, arguments, found):
    whole, ablated = find_policy(policy)(), find_policy(f"{policy}-without-{check}")()
    assert getattr(whole, method)(*arguments) is found
    assert getattr(ablated, method)(*arguments) is not found


@pytest.mark.parametrize("write", [False, True])
def test_without_its_check_every_access_is_permitted(write):
    assert not find_policy("spf-v9")().access_permitted(ODD, write=write)
    assert find_policy("spf-v9-without-vma_access")().access_permitted(ODD, write=write)


@pytest.mark.parametrize("policy", ["spf-v9", "spf-v9-without-vma_refcount"])
def test_a_speculation_leaves_no_reference_behind_whether_it_takes_one_or_not(policy):
    machine, result = played(one_write, policy=policy, set_up=with_history)
    assert result.fault_paths["spf"] == 1
    assert machine.system.mm.tree.find(BASE).references == 1


def test_without_references_a_hole_is_still_a_hole():
    async def bad(thread):
        assert not await thread.touch(0x1000)

    _, result = played(bad, policy="spf-v9-without-vma_refcount", set_up=with_history)
    assert (result.stop.kind, result.fault_paths["sigsegv"]) == ("quiescent", 1)


@pytest.mark.parametrize(("policy", "asked"), [("spf-v9", TrylockPte), ("spf-v9-without-trylock", LockPte)])
def test_the_pte_lock_is_tried_or_without_that_check_waited_for(policy, asked):
    delivered = Delivered(LockPte, TrylockPte)
    _, result = played(one_write, policy=policy, set_up=with_history, observers=[delivered])
    assert result.fault_paths["spf"] == 1
    assert delivered.all[-1][2] == asked(index=0)


def test_where_nobody_looks_nothing_has_changed():
    async def protect_elsewhere(thread):
        await thread.compute(50_000)
        await thread.mprotect(BASE + 5 * PAGE, PAGE, writable=False)

    policy = "spf-v9-without-sequence_recheck+first_vma_check+last_vma_check"
    costs = {"clear_page_ns": 100_000}
    _, result = played(one_write, protect_elsewhere, policy=policy, set_up=with_history, costs=costs)
    assert (result.fault_paths["spf"], result.transient.wasted) == (1, 0)


async def protect(thread):
    await thread.mprotect(BASE, PAGE, writable=False)


@pytest.mark.parametrize(("policy", "waits"), [("per-vma", True), ("per-vma-without-wait_for_readers", False)])
def test_a_writer_waits_for_the_readers_inside_unless_that_is_dropped(policy, waits):
    delivered = Delivered(VmaStartWrite)
    machine, _ = played(protect, policy=policy, set_up=with_history, observers=[delivered])
    last = delivered.all[-1][2]
    assert (last.start, last.end, last.wait) == (BASE, BASE + PAGE, waits)
    assert_settled(machine)


@pytest.mark.parametrize(("policy", "waits"), [("per-vma", True), ("per-vma-without-wait_for_readers", False)])
def test_a_collapse_is_such_a_writer_too(policy, waits):
    async def huge(thread):
        await thread.mmap(PMD, address=BASE)
        await thread.madvise_hugepage(BASE, PMD)
        await thread.touch(BASE)

    delivered = Delivered(VmaStartWrite)
    played(lambda thread: wait_until(thread, 3e6), policy=policy, set_up=huge, collapse_ms=1, observers=[delivered])
    last = delivered.all[-1][2]
    assert (last.start, last.end, last.wait) == (BASE, BASE + PMD, waits)


# --- whose pte_same ---------------------------------------------------------------------------------------------------


def counting(name):
    """Return the policy with a pte_same that writes down what it was asked."""
    base = find_policy(name)

    class Counting(base):
        def __init__(self):
            self.asked = []

        def pte_same(self, pte, orig_pte):
            self.asked.append((pte, orig_pte))
            return super().pte_same(pte, orig_pte)

    return Counting()


async def first_touch(thread):
    await thread.mmap(PAGE, address=BASE)
    await thread.touch(BASE)


@pytest.mark.parametrize(("name", "path"), [("classic", "classic"), ("per-vma", "vma_lock"), ("spf-v9", "spf")])
def test_a_policys_own_fault_path_asks_the_policys_own_pte_same(name, path):
    policy = counting(name)
    _, result = played(one_write, policy=policy, set_up=with_history)
    assert result.fault_paths[path] >= 1
    assert len(policy.asked) == result.counters.faults - (name == "spf-v9"), "SPF's classic path has one of its own"


def test_where_the_vma_cannot_be_used_the_classic_path_asks_it_too():
    policy = counting("per-vma")
    _, result = played(first_touch, policy=policy)
    assert result.fault_paths == {"classic": 1}
    assert policy.asked == [(0, 0)]


def test_where_the_vma_cannot_be_locked_the_classic_path_asks_it_too():
    async def enlarge_the_area(thread):
        await thread.mmap(PAGE, address=BASE + 10 * PAGE)

    async def later(thread):
        await thread.compute(100_000)
        await thread.touch(BASE)

    policy = counting("per-vma")
    costs = {"vma_adjust_ns": 1_000_000}
    _, result = played(enlarge_the_area, later, policy=policy, set_up=with_history, costs=costs)
    assert result.vmstat["vma_lock_abort"] == 1
    assert result.fault_paths == {"classic": 2}
    assert len(policy.asked) == 2
