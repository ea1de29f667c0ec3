"""Per-VMA locks of 6.4, step by step: vm_lock, what is not supported yet, and what /proc/vmstat counts."""

import pytest

from protocols.tracepoints import FaultDone
from protocols.vma import VmaKind
from tests.actors.programs import area_of, one_write, with_history
from tests.actors.scenes import BASE, PAGE, Heard, played, wait_until
from tests.policies.searched import searched
from tests.policies.steps import START_NS, asked, counted

POLICY = "per-vma-6.4"
FIRST_WRITE = [
    "ReadPte",
    "WalkVmas",  # H1
    "VmLockTrylock",
    "ReadPmd",  # H3: the ordinary fault code
    "ReadPte",
    "LockPte",
    "SetPte",
    "UnlockPte",
    "VmLockUpRead",
    "ReadPte",
]


def events(*bodies, **options):
    return counted(*bodies, policy=POLICY, prefix="vma_lock_", **options)


def test_a_first_write():
    assert [request for _, request in asked(POLICY, with_history)] == FIRST_WRITE


def test_a_fault_that_holds_the_lock_is_a_success():
    counts, result = events(one_write, set_up=area_of(VmaKind.ANON))
    # The set-up's fault had no anon_vma.
    assert counts == {"vma_lock_abort": 1, "vma_lock_success": 1}
    assert result.fault_paths == {"classic": 1, "vma_lock": 1}


@pytest.mark.parametrize(("kind", "asks"), [(VmaKind.FILE, False), (VmaKind.UFFD, True), (VmaKind.STACK, True)])
def test_files_are_left_alone_before_the_lock_and_userfaultfd_after_it(kind, asks):
    requests = [request for _, request in asked(POLICY, area_of(kind))]
    assert ("VmLockTrylock" in requests) is asks
    assert ("DownRead" in requests) is (kind is not VmaKind.STACK)
    assert requests.count("VmLockTrylock") == requests.count("VmLockUpRead")


def test_a_bad_access_is_no_event():
    async def set_up(thread):
        await with_history(thread)
        await thread.mprotect(BASE, 10 * PAGE, writable=False)

    counts, result = events(one_write, set_up=set_up)
    assert counts == {"vma_lock_abort": 1}, "the set-up's"
    assert result.fault_paths == {"classic": 1, "sigsegv": 1}


async def write_locked(thread):
    """From 0 to 200 us."""
    await thread.cpu.down_write()
    await thread.cpu.vma_start_write(BASE, BASE + 10 * PAGE)
    await thread.compute(200_000)
    await thread.cpu.up_write()


async def write_later(thread):
    await thread.compute(30_000)
    await thread.touch(BASE)


def test_a_vma_that_a_writer_owns_is_an_abort_without_trying_the_lock():
    counts, result = events(write_locked, write_later)
    assert counts == {"vma_lock_abort": 2}
    assert result.fault_paths == {"classic": 2}


def test_a_writer_waits_for_the_reader_inside_and_new_readers_fail():
    heard = Heard(FaultDone)
    ended = []

    async def protect(thread):
        await thread.compute(30_000)
        await thread.mprotect(BASE, 10 * PAGE, writable=True)
        ended.append(thread.cpu.clock_ns)

    async def too_late(thread):
        await thread.compute(60_000)
        await thread.touch(BASE + PAGE)

    counts, result = counted(
        one_write,
        protect,
        too_late,
        policy=POLICY,
        prefix="vma_lock_",
        cpus=3,
        also=[heard],
        costs={"clear_page_ns": 100_000},
    )
    served = [at_ns for at_ns, who, done in heard.all if who == "cpu0" and done.path == "vma_lock"]
    assert ended[-1] > served[0]
    assert counts["vma_lock_abort"] == 2
    assert result.fault_paths["vma_lock"] == 1


def test_an_area_that_was_taken_out_since_the_walk_is_a_miss_and_looked_for_again():
    async def locked(thread):
        vma = await thread.cpu.copy_vma(BASE)
        await wait_until(thread, START_NS + 100_000)
        answers.append(await thread.cpu.vm_lock_read_trylock(vma))
        thread.cpu.count("done")

    async def unmap(thread):
        await wait_until(thread, START_NS)
        await thread.munmap(BASE, 10 * PAGE)

    answers = []
    played(locked, unmap, policy=POLICY, set_up=with_history)
    assert [(answer.vma, answer.writer) for answer in answers] == [(None, False)]


@pytest.mark.parametrize("scene", ["collapse-fault", "munmap-table", "munmap-page", "munmap-tail", "mail-deadlock"])
def test_no_interleaving_breaks_it(scene):
    assert searched(scene, POLICY) is None


@pytest.mark.parametrize(
    ("dropped", "scene", "finding"),
    [
        ("lock_sequence_recheck", "collapse-fault", "pte_under_cleared_pmd"),
        ("locked_bounds", "munmap-tail", "pte_in_unmapped_area"),
        ("wait_for_readers", "collapse-fault", "pte_under_cleared_pmd"),
        ("collapse_start_write", "collapse-fault", "pmd_populated_under_collapse"),
    ],
)
def test_what_each_check_protects_from(dropped, scene, finding):
    assert searched(scene, f"{POLICY}-without-{dropped}") == finding
