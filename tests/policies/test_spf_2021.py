"""The SPF of 2021, step by step: what it asks and what /proc/vmstat counts for each way in which it ends."""

import pytest

from kactors.engine.errors import UsageError
from kactors.policies import find_policy, load_policy
from kactors.workloads.litmus.mail_deadlock import MailDeadlock
from protocols.scenario import Bounds, Khugepaged
from protocols.tracepoints import IrqDisable
from protocols.vma import CopyVma, VmaKind
from tests.accounting import assert_settled
from tests.actors.programs import area_of, later, one_write, with_history
from tests.actors.scenes import BASE, PAGE, PMD, Delivered, Heard, played, wait_until
from tests.policies.searched import searched
from tests.policies.steps import START_NS, asked, counted, late_write, with_zero_page

POLICY = "spf-2021"
SERVED = {"spf_attempt": 1, "spf_attempt_anon": 1}
SLOW_ZEROING = {"clear_page_ns": 100_000}

FIRST_WRITE = [
    "ReadPte",  # the walk that faults
    "ReadMmapSeq",  # I1
    "CopyVma",  # I2
    "ReadMmapSeq",
    "ReadPmd",  # I3, with irqs off
    "ReadPte",
    "ReadMmapSeq",  # I5, after I4: allocate
    "ReadPmd",
    "TrylockPte",
    "ReadMmapSeq",
    "SetPte",
    "UnlockPte",
    "ReadPte",  # the access once more
]


def names(requests):
    return [request for _, request in requests]


def events(*bodies, **options):
    return counted(*bodies, policy=POLICY, prefix="spf_", **options)


def test_a_first_write_asks_this_and_writes_nothing_shared_but_the_page_table():
    assert names(asked(POLICY, with_history)) == FIRST_WRITE


def test_a_second_fault_on_the_same_cpu_waits_for_no_cache_line():
    """I7: the count, the tree and the VMA are read where they lie: 1 ns each, and no transfer."""
    first, second = [], []

    async def two_writes(thread):
        for page, seen in ((0, first), (1, second)):
            await wait_until(thread, START_NS * (page + 1))
            began_ns = thread.cpu.clock_ns
            await thread.cpu.read_mmap_seq()
            await thread.cpu.copy_vma(BASE)
            await thread.cpu.read_mmap_seq()
            seen.append(thread.cpu.clock_ns - began_ns)

    machine, _ = played(two_writes, policy=POLICY, set_up=with_history)
    assert second == [2 + machine.system.machine.find_vma_ns + 2]
    assert first[0] > second[0]


@pytest.mark.parametrize(("atomics", "pair"), [(0, 0), (1, 2)])
def test_an_atomic_pair_is_charged_on_the_areas_line(atomics, pair):
    requests = asked(POLICY, with_history, policy_options={"vma_atomics": atomics})
    assert names(requests).count("VmaAtomic") == pair
    without = asked(POLICY, with_history)
    assert (requests[-1][0] > without[-1][0]) == bool(pair)


def test_with_the_pair_cpus_queue_at_the_areas_line():
    async def faults(thread):
        for page in range(20):
            await thread.touch(BASE + PMD * thread.number + PAGE * page)

    async def a_page_table_each(thread):
        await thread.mmap(9 * PMD, address=BASE)
        for number in range(9):
            await thread.touch(BASE + PMD * number + 100 * PAGE)

    def ends_ns(atomics):
        options = {"vma_atomics": atomics}
        _, result = played(*[faults] * 8, cpus=8, policy=POLICY, set_up=a_page_table_each, policy_options=options)
        assert result.fault_paths["spf"] == 160
        return result.virtual_ns

    assert ends_ns(1) > ends_ns(0) * 1.05


def test_it_walks_and_commits_with_irqs_off():
    heard = Heard(IrqDisable)
    played(late_write, policy=POLICY, set_up=with_history, observers=[heard])
    paths = [disable.path for at_ns, _, disable in heard.all if at_ns >= START_NS]
    assert paths == ["page table walk", "pte_map_lock"]


def test_an_attempt_that_succeeds_is_counted_once():
    counts, result = events(one_write)
    assert counts == SERVED
    assert result.fault_paths == {"classic": 1, "spf": 1}


def test_a_single_thread_does_not_attempt():
    counts, _ = events(lambda thread: thread.compute(1))
    assert counts == {}


def test_a_write_to_the_zero_page_is_an_attempt_on_a_pte():
    counts, result = events(one_write, set_up=with_zero_page)
    assert counts == {"spf_attempt": 1, "spf_attempt_pte": 1}
    assert result.fault_paths["spf"] == 1


async def two_pmds(thread):
    await thread.mmap(2 * PMD, address=BASE)
    await thread.touch(BASE)


async def read_only_so_far(thread):
    """A page table, but no anon_vma: the zero page needs none."""
    await thread.mmap(10 * PAGE, address=BASE)
    await thread.mmap(10 * PAGE, address=BASE + 20 * PAGE, writable=False)
    await thread.touch(BASE + 20 * PAGE, write=False)


async def hold_the_lock(thread):
    table = (await thread.cpu.read_pmd(BASE)).table
    await thread.cpu.pte_lock(table, BASE + PAGE)
    await thread.compute(100_000)
    thread.cpu.pte_unlock(table)


async def held_by_a_writer(thread):
    await thread.cpu.down_write()
    await thread.compute(200_000)
    await thread.cpu.up_write()


async def unmapped_under_it(thread):
    await thread.mmap(PAGE, address=BASE + 20 * PAGE)


@pytest.mark.parametrize(
    ("reason", "bodies", "options"),
    [
        ("odd", (later(one_write, 10_000), held_by_a_writer), {}),
        ("unmapped", (lambda thread: thread.touch(0x1000),), {}),
        ("no_speculate", (one_write,), {"set_up": area_of(VmaKind.FILE)}),
        ("pmd", (lambda thread: thread.touch(BASE + PMD),), {"set_up": two_pmds}),
        ("anon_vma", (one_write,), {"set_up": read_only_so_far}),
        ("userfaultfd", (one_write,), {"set_up": area_of(VmaKind.UFFD)}),
        ("pte_map_lock_seq1", (one_write, later(unmapped_under_it)), {"costs": SLOW_ZEROING}),
        ("pte_map_lock_ptl", (one_write, later(hold_the_lock)), {"costs": SLOW_ZEROING}),
    ],
)
def test_each_way_to_give_up_has_its_counter_and_ends_in_the_classic_path(reason, bodies, options):
    counts, result = events(*bodies, **options)
    assert counts["spf_abort"] == 1
    assert counts[f"spf_abort_{reason}"] == 1
    assert counts["spf_attempt"] == 1
    assert "spf" not in result.fault_paths


def test_a_write_to_a_read_only_area_is_judged_by_the_classic_path():
    async def set_up(thread):
        await with_history(thread)
        await thread.mprotect(BASE, 10 * PAGE, writable=False)

    counts, result = events(one_write, set_up=set_up)
    assert counts == {"spf_attempt": 1, "spf_abort": 1, "spf_abort_access_error": 1}
    assert result.fault_paths == {"classic": 1, "sigsegv": 1}


@pytest.mark.parametrize(("policy", "reason"), [("first", "seq2"), ("", "seq1")])
def test_the_last_look_at_the_count_catches_what_the_first_one_would(policy, reason):
    name = POLICY if not policy else f"{POLICY}-without-first_sequence"
    counts, result = counted(one_write, later(unmapped_under_it), policy=name, prefix="spf_abort_", costs=SLOW_ZEROING)
    assert counts == {f"spf_abort_pte_map_lock_{reason}": 1}
    assert result.transient.wasted == 1


def test_a_page_table_that_was_taken_out_is_seen_where_the_count_is_not_looked_at():
    name = f"{POLICY}-without-first_sequence+last_sequence"
    counts, _ = counted(
        lambda thread: thread.touch(BASE),
        later(lambda thread: thread.munmap(BASE, 10 * PAGE)),
        policy=name,
        prefix="spf_abort_",
        costs=SLOW_ZEROING,
    )
    assert counts == {"spf_abort_pte_map_lock_pmd": 1}


def test_a_copy_during_which_a_writer_came_is_not_used():
    """Between the two looks at the count the copy is under way, and here the walk takes long."""

    def reasons(writer_after_ns):
        counts, _ = counted(
            later(one_write, 10_000),
            later(unmapped_under_it, writer_after_ns),
            policy=POLICY,
            prefix="spf_abort_",
            costs={"find_vma_ns": 20_000},
        )
        return counts

    assert {"spf_abort_vma_copy": 1} in [reasons(after_ns) for after_ns in range(1_000, 31_000, 3_000)]


@pytest.mark.parametrize(
    "change",
    [
        lambda thread: thread.mmap(PAGE, address=BASE + 100 * PAGE),
        lambda thread: thread.madvise_dontneed(BASE + 5 * PAGE, PAGE),
    ],
    ids=["mmap elsewhere", "dontneed"],
)
def test_a_writer_anywhere_ends_a_speculation_and_a_reader_does_not(change, request):
    """I7's price; MADV_DONTNEED holds mmap_sem for reading, and the PTE lock orders it."""
    counts, _ = events(one_write, later(change), costs=SLOW_ZEROING)
    assert counts.get("spf_abort", 0) == (1 if "mmap" in request.node.callspec.id else 0)


def test_the_count_is_odd_as_long_as_a_writer_holds_the_lock_and_never_the_same_again():
    seen = []

    async def look(thread):
        for at_us in (5, 50, 150):
            await wait_until(thread, at_us * 1_000 + START_NS)
            seen.append(await thread.cpu.read_mmap_seq())

    async def write(thread):
        await wait_until(thread, START_NS + 20_000)
        await thread.cpu.down_write()
        await thread.compute(80_000)
        await thread.cpu.downgrade_write()
        await thread.compute(300_000)
        await thread.cpu.up_read()

    played(look, write, policy=POLICY, set_up=with_history)
    before, inside, after = seen
    assert (before % 2, inside, after) == (0, before + 1, before + 2), "downgraded is even: readers may hold it"


def test_a_writer_takes_the_counts_line_away_from_its_readers():
    costs = []

    async def look(thread):
        for at_us in (5, 10, 50):
            await wait_until(thread, at_us * 1_000 + START_NS)
            began_ns = thread.cpu.clock_ns
            await thread.cpu.read_mmap_seq()
            costs.append(thread.cpu.clock_ns - began_ns)

    async def write(thread):
        await wait_until(thread, START_NS + 20_000)
        await thread.mmap(PAGE, address=BASE + 100 * PAGE)

    machine, _ = played(look, write, policy=POLICY, set_up=with_history)
    assert costs[1:] == [1, machine.system.machine.line_cache_ns]


def test_the_bound_on_speculations_holds_here_too():
    machine, result = played(
        *[one_write] * 2, policy=POLICY, set_up=with_history, bounds=Bounds(spf_inflight_max=1), observers=[]
    )
    assert result.transient.wasted == 0
    assert_settled(machine)


def test_a_collapse_ends_it_by_the_count():
    async def huge(thread):
        await thread.mmap(PMD, address=BASE)
        await thread.madvise_hugepage(BASE, PMD)
        await thread.touch(BASE + 9 * PAGE)

    async def fault(thread):
        await wait_until(thread, 1_060_000)
        await thread.touch(BASE + 3 * PAGE)
        await wait_until(thread, 3_000_000)

    counts, _ = counted(
        fault,
        policy=POLICY,
        set_up=huge,
        prefix="spf_abort",
        costs=SLOW_ZEROING,
        khugepaged=Khugepaged(scan_sleep_millisecs=1),
    )
    assert counts["spf_abort"] >= 1


def test_a_vma_is_copied_where_it_is_not_locked():
    delivered = Delivered(CopyVma)
    played(one_write, policy=POLICY, set_up=with_history, observers=[delivered])
    assert [message.address for _, _, message in delivered.all] == [BASE]


# --- options and checks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vma_atomics": 2}, "spf-2021: vma_atomics = 2: should be 0 or 1"),
        ({"pmd_marker": "collapsing"}, "spf-2021 has no option pmd_marker; it has pte_lock"),
    ],
)
def test_a_wrong_option_is_named(options, message):
    with pytest.raises(UsageError) as caught:
        load_policy(POLICY, options)
    assert str(caught.value).startswith(message)


def test_every_check_is_a_method_of_its_own():
    whole = find_policy(POLICY)
    for check in whole.checks:
        ablated = find_policy(f"{POLICY}-without-{check.name}")
        assert all(getattr(ablated, name) is not getattr(whole, name) for name in check.dropped)


@pytest.mark.parametrize("scene", ["collapse-fault", "munmap-table", "munmap-page"])
def test_no_interleaving_breaks_it(scene):
    assert searched(scene, POLICY) is None


@pytest.mark.parametrize(
    ("dropped", "scene", "finding"),
    [
        ("last_sequence", "munmap-page", "pte_in_unmapped_area"),
        ("walk_irqs_off", "munmap-table", "freed_table_touched"),
        ("commit_irqs_off", "munmap-table", "freed_table_touched"),
        ("trylock", MailDeadlock.name, "deadlock"),
    ],
)
def test_what_each_check_protects_from(dropped, scene, finding):
    assert searched(scene, f"{POLICY}-without-{dropped}") == finding


@pytest.mark.parametrize(("how", "finding"), [("trylock", None), ("spin", "deadlock")])
def test_a_blocking_lock_with_irqs_off_deadlocks(how, finding):
    assert searched(MailDeadlock.name, POLICY, pte_lock=how) == finding
