"""SPF version 12, where it differs from version 11: the walk under RCU, mm_seq, and VMAs that call_rcu frees."""

import pytest

from protocols.tracepoints import LockAcquired
from protocols.vma import PutVma
from tests.accounting import assert_settled
from tests.actors.programs import with_history
from tests.actors.scenes import BASE, PAGE, Delivered, Heard, played, wait_until
from tests.policies.searched import searched
from tests.policies.steps import START_NS, asked, counted, late_write

POLICY = "spf-rcu"
FIRST_WRITE = [
    "ReadPte",
    "ReadTreeSeq",  # C1: read_seqbegin
    "CopyVma",  # walk
    "RefVma",
    "ReadTreeSeq",  # read_seqretry
    "ReadPmd",  # C8 and on, as in version 9
    "ReadPte",
    "ReadSequence",
    "ReadSequence",
    "ReadPmd",
    "TrylockPte",
    "ReadSequence",
    "SetPte",
    "UnlockPte",
    "PutVma",
    "ReadPte",
]


def names(requests):
    return [request for _, request in requests]


def test_a_first_write():
    assert names(asked(POLICY, with_history)) == FIRST_WRITE


def test_success_is_in_vmstat():
    counts, result = counted(late_write, policy=POLICY, prefix="spec")
    assert (counts, result.counters.spf) == ({"speculative_pgfault": 1}, 1)


def test_mm_rb_lock_is_not_taken():
    heard = Heard(LockAcquired)
    played(late_write, policy=POLICY, set_up=with_history, observers=[heard])
    assert not [lock for at_ns, _, lock in heard.all if at_ns >= START_NS and lock.lock == "mm_rb_lock"]


async def look_up(thread, policy):
    vma = await policy.get_vma(thread.cpu, BASE)
    policy.put_vma(thread.cpu, vma)
    return vma


def took_ns(change, at_ns):
    """Return how long a look-up took that began at ``at_ns`` after START_NS, when ``change`` did."""
    seen = []

    async def look(thread):
        await wait_until(thread, START_NS + at_ns)
        began_ns = thread.cpu.clock_ns
        vma = await look_up(thread, thread.policy)
        seen.append((thread.cpu.clock_ns - began_ns, vma))

    async def write(thread):
        await wait_until(thread, START_NS)
        await change(thread)

    machine, _ = played(look, write, policy=POLICY, set_up=with_history, costs={"vma_adjust_ns": 20_000})
    assert_settled(machine)
    return seen[0]


def test_a_look_up_during_a_change_of_the_tree_waits_for_its_end():
    ns, vma = took_ns(lambda thread: thread.mmap(PAGE, address=BASE + 10 * PAGE), 5_000)
    assert ns > 10_000
    assert vma.end == BASE + 11 * PAGE


def test_a_look_up_that_a_change_has_passed_is_made_again():
    """The walk is slow here, and the change begins in the middle of it."""
    delivered = Delivered(PutVma)
    seen = []

    async def look(thread):
        await wait_until(thread, START_NS)
        seen.append(await look_up(thread, thread.policy))

    async def write(thread):
        await wait_until(thread, START_NS + 10_000)
        await thread.mmap(PAGE, address=BASE + 10 * PAGE)

    played(look, write, policy=POLICY, set_up=with_history, costs={"find_vma_ns": 30_000}, observers=[delivered])
    assert seen[0].end == BASE + 11 * PAGE
    assert len([put for at_ns, _, put in delivered.all if at_ns >= START_NS]) == 2, "of both references"


def freed(policy, change, *, reader=None, **costs):
    """Return when the area of BASE's last page was freed: the put that left it without references."""
    puts = Delivered(PutVma)

    async def write(thread):
        await wait_until(thread, START_NS)
        await change(thread)
        await wait_until(thread, START_NS + 500_000)

    bodies = [write, *([reader] if reader else [])]
    machine, _ = played(*bodies, policy=policy, set_up=with_history, observers=[puts], costs=costs)
    assert_settled(machine)
    assert not machine.system.mm.vmas.limbo.vma_ids()
    return [(at_ns, put.vma_id) for at_ns, _, put in puts.all if at_ns >= START_NS]


def unmap(thread):
    return thread.munmap(BASE, 10 * PAGE)


def test_an_area_is_put_by_munmap_and_once_more_by_its_callback():
    (by_munmap, vma_id), (by_callback, same) = freed(POLICY, unmap)
    assert vma_id == same
    assert by_callback > by_munmap
    assert len(freed("spf-v9", unmap)) == 1


def test_the_callback_waits_for_readers_that_had_begun():
    async def reader(thread):
        await wait_until(thread, START_NS - 10_000)
        with thread.cpu.rcu_read_lock():
            await thread.compute(200_000)
            await thread.cpu.read_pmd(BASE)

    (_, _), (by_callback, _) = freed(POLICY, unmap, reader=reader)
    assert by_callback >= START_NS + 190_000


def test_grace_periods_begin_a_tick_apart():
    (by_munmap, _), (by_callback, _) = freed(POLICY, unmap, tick_ns=100_000)
    assert by_callback - by_munmap > 80_000


@pytest.mark.parametrize("scene", ["collapse-fault", "munmap-page"])
def test_no_interleaving_breaks_it(scene):
    assert searched(scene, POLICY) is None


@pytest.mark.parametrize("dropped", ["lookup_rcu", "vma_refcount"])
def test_what_keeps_the_vma(dropped):
    assert searched("munmap-page", f"{POLICY}-without-{dropped}") == "vma_use_after_free"
