"""Each counter of the review mail, reached by a scene that forces it, and by nothing else."""

import pytest

from kactors import Scenario, run
from kactors.syscalls import UserThread
from kactors.workloads import Program
from protocols.scenario import Khugepaged
from protocols.vma import VmaKind

LATER_NS = 60_000


class Scene:
    """Two areas in one page table, kept apart by their protection; the second one has a history of its own."""

    def __init__(self, kind: VmaKind = VmaKind.ANON, *, touched: bool = True) -> None:
        self.kind = kind
        self.touched = touched
        self.here = self.there = 0

    async def set_up(self, t: UserThread) -> None:
        self.there = await t.mmap(256 * t.page_size)
        await t.mmap(t.page_size, readable=False, writable=False)
        self.here = await t.mmap(64 * t.page_size, kind=self.kind)
        for number in range(128):
            await t.touch(self.there + number * t.page_size)
        if self.touched:
            await t.touch(self.here + 63 * t.page_size)

    async def fault(self, t: UserThread) -> None:
        await t.compute(LATER_NS)
        await t.touch(self.here)

    async def idle(self, t: UserThread) -> None:
        await t.compute(LATER_NS)


def reasons(scene: Scene, *workers, policy="spf-v9", **scenario) -> dict[str, int]:
    """Run the scene and return the aborts that happened."""
    program = Program(workers, scene.set_up)
    result = run(Scenario(machine="small", policy=policy, **scenario), workload=program)
    assert result.stop.kind == "quiescent"
    counts = result.counters.model_dump()
    assert sum(counts[key] for key in counts if key != "faults") == counts["faults"]
    return {key: value for key, value in counts.items() if key.startswith("spf_") and value}


def test_a_fault_with_nobody_in_the_way_is_speculative():
    scene = Scene()
    result = run(Scenario(machine="small"), workload=Program([scene.fault, scene.idle], scene.set_up))
    assert result.counters.spf == 1
    assert result.counters.residual == result.counters.faults - 1  # the set-up: one thread never speculates


def test_one_thread_alone_never_speculates():
    async def alone(t: UserThread) -> None:
        base = await t.mmap(8 * t.page_size)
        for number in range(8):
            await t.touch(base + number * t.page_size)

    result = run(Scenario(machine="small"), workload=Program([], alone))
    assert (result.counters.faults, result.counters.spf, result.counters.residual) == (8, 0, 8)


def test_spf_pte_lock_when_munmap_holds_the_lock_of_the_same_table():
    scene = Scene()

    async def unmap(t: UserThread) -> None:
        await t.compute(LATER_NS - 5_000)
        await t.munmap(scene.there, 256 * t.page_size)

    # 128 PTEs of 400 ns each: the lock is held for 51 us, and the fault comes in the middle of that
    assert reasons(scene, scene.fault, unmap, costs={"zap_pte_ns": 400}) == {"spf_pte_lock": 1}


def test_spf_vma_changed_when_the_area_is_split_while_the_page_is_cleared():
    scene = Scene()

    async def protect(t: UserThread) -> None:
        await t.compute(LATER_NS + 5_000)
        await t.mprotect(scene.here + 32 * t.page_size, t.page_size, writable=False)

    assert reasons(scene, scene.fault, protect, costs={"clear_page_ns": 50_000}) == {"spf_vma_changed": 1}


def test_spf_vma_changed_also_by_dontneed_of_another_page():
    scene = Scene()

    async def drop(t: UserThread) -> None:
        await t.compute(LATER_NS + 5_000)
        await t.madvise_dontneed(scene.here + 63 * t.page_size, t.page_size)

    assert reasons(scene, scene.fault, drop, costs={"clear_page_ns": 50_000}) == {"spf_vma_changed": 1}


def test_spf_vma_noanon_on_the_first_fault_of_an_area_that_could_not_merge():
    scene = Scene(touched=False)
    assert reasons(scene, scene.fault, scene.idle) == {"spf_vma_noanon": 1}


def test_ebizzy_never_reaches_spf_vma_noanon_because_its_copies_merge():
    result = run(Scenario(workload="ebizzy", machine="x86-vm-16", until_ns=8_000_000))
    assert result.counters.spf > 100
    assert result.counters.spf_vma_noanon == 0
    # The same copies, if each could merge with nothing, would have no anon_vma each time.
    apart = run(
        Scenario(machine="small", until_ns=2_000_000), workload=Program([copies_apart, copies_apart], touch_one)
    )
    assert apart.counters.spf_vma_noanon > 10


async def touch_one(t: UserThread) -> None:
    await t.touch(await t.mmap(t.page_size))


async def copies_apart(t: UserThread) -> None:
    """ebizzy's record loop, but in areas of a kind that vma_merge leaves alone."""
    while True:
        copy = await t.mmap(8, kind=VmaKind.STACK)
        await t.touch(copy)
        await t.munmap(copy, 8)


@pytest.mark.parametrize("kind", [VmaKind.FILE, VmaKind.STACK, VmaKind.UFFD, VmaKind.INTERLEAVE])
def test_spf_vma_notsup_for_areas_that_speculation_leaves_out(kind):
    scene = Scene(kind)
    assert reasons(scene, scene.fault, scene.idle) == {"spf_vma_notsup": 1}


def test_spf_vma_notsup_where_no_page_table_exists_yet():
    scene = Scene()

    async def first_in_its_pmd(t: UserThread) -> None:
        # below everything else, in the same area by merging, but under a PMD that nobody has populated
        base = await t.mmap(2 * t.cpu.machine.pmd_size)
        await t.touch(base)

    assert reasons(scene, first_in_its_pmd, scene.idle) == {"spf_vma_notsup": 1}


def test_spf_vma_access_on_a_write_to_a_read_only_area_ends_in_sigsegv():
    scene = Scene()
    outcome: list[bool] = []

    async def protect(t: UserThread) -> None:
        await t.mprotect(scene.here, 64 * t.page_size, writable=False)

    async def store(t: UserThread) -> None:
        await t.compute(LATER_NS)
        outcome.append(await t.touch(scene.here))

    assert reasons(scene, store, protect) == {"spf_vma_access": 1}
    assert outcome == [False]


COLLAPSE = {
    "workload": "collapse-vs-fault",
    "machine": "small",
    "options": {"pages": 20, "spread_ns": 60_000},
    "khugepaged": Khugepaged(scan_sleep_millisecs=1),
    "costs": {"line_cache_ns": 3_000, "line_socket_ns": 10, "copy_huge_ns": 5_000, "clear_huge_ns": 5_000},
}


def test_spf_pmd_changed_needs_a_collapse_to_begin_between_two_checks():
    """vm_write_begin precedes the clearing of the PMD, so C12.i fires first, unless it has just passed."""
    counters = [run(Scenario(policy="spf-v9", seed=seed, **COLLAPSE)).counters for seed in range(100)]
    changed = sum(c.spf_vma_changed for c in counters)
    pmd_changed = sum(c.spf_pmd_changed for c in counters)
    assert 0 < pmd_changed < changed / 5


def test_without_the_vma_checks_spf_pmd_changed_is_what_catches_a_collapse():
    def caught(policy: str) -> int:
        return sum(run(Scenario(policy=policy, seed=seed, **COLLAPSE)).counters.spf_pmd_changed for seed in range(30))

    assert caught("broken-no-vma-checks") > 5 * caught("spf-v9")


def test_ebizzy_never_reaches_spf_pmd_changed_because_nothing_collapses():
    result = run(Scenario(workload="ebizzy", machine="x86-vm-16", until_ns=8_000_000))
    assert (result.counters.spf_pmd_changed, result.collapses) == (0, {})
