"""lock_exclusion: each lock taken, released or relied on by somebody who may not."""

import pytest

from kactors.observers.properties.lock_exclusion import LockExclusion
from kactors.policies.classic import Classic, classic_fault
from protocols.page_table import InstallHuge, PmdUnlock, RestorePmd, SplitHuge, ZapHuge
from protocols.tracepoints import LockAcquired, LockReleased
from protocols.vma import MmapRegion, VmaKind
from tests.actors.scenes import BASE, PAGE, PMD
from tests.observers.properties.stories import findings, fires, one_write, stopped, with_history

NAME = "lock_exclusion"


class UpReadTwice(Classic):
    """Releases mmap_sem once more than it took it."""

    async def fault(self, cpu, address, *, write):
        path = await classic_fault(cpu, address, write=write)
        await cpu.up_read()
        return path


class NoMmapSem(Classic):
    """Looks its VMA up without mmap_sem."""

    async def fault(self, cpu, address, *, write):
        await cpu.find_vma(address)
        return await classic_fault(cpu, address, write=write)


class NoPteLock(Classic):
    """Maps a page without the PTE lock: a racing fault may have mapped one."""

    async def fault(self, cpu, address, *, write):
        await cpu.down_read()
        pmd = await cpu.read_pmd(address)
        if pmd.table >= 0:
            page = await cpu.alloc_page(address)
            cpu.set_pte(pmd.table, address, page.pfn, write=write)
        await cpu.up_read()
        return await classic_fault(cpu, address, write=write)


class UnlocksTwice(Classic):
    """Unlocks the PTE lock of a table that is not its own to unlock."""

    async def fault(self, cpu, address, *, write):
        pmd = await cpu.read_pmd(address)
        if pmd.table >= 0:
            cpu.pte_unlock(pmd.table)
        return await classic_fault(cpu, address, write=write)


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        (UpReadTwice, "cpu0 unlocks mmap_sem at"),
        (NoMmapSem, "cpu0 looks a VMA up with find_vma at"),
        (NoPteLock, "cpu0 writes a PTE at"),
        (UnlocksTwice, "cpu0 unlocks the PTE lock of page table"),
    ],
)
def test_a_policy_that_breaks_a_lock_is_told_so(policy, text):
    found = fires(NAME, one_write, set_up=with_history, policy=policy())
    assert found.startswith(text)
    assert "nobody holds it" in found


def test_the_tree_must_not_change_without_mmap_sem():
    async def change(thread):
        length = 4 * PAGE
        request = MmapRegion(address=BASE, length=length, readable=True, writable=True, kind=VmaKind.ANON)
        await thread.cpu.ask(thread.cpu.directory.mm, request)

    found = fires(NAME, change)
    assert found.startswith("cpu0 changes the VMA tree at")
    assert "without holding mmap_sem for writing: nobody holds it" in found


def test_holding_it_for_reading_is_not_enough_to_write():
    async def change(thread):
        await thread.cpu.down_read()
        request = MmapRegion(address=BASE, length=PAGE, readable=True, writable=True, kind=VmaKind.ANON)
        await thread.cpu.ask(thread.cpu.directory.mm, request)

    assert "cpu0 hold it for reading" in fires(NAME, change)


async def release_of_a_reader(thread):
    await thread.cpu.down_read()
    await thread.cpu.up_write()


async def downgrade_of_a_reader(thread):
    await thread.cpu.down_read()
    await thread.cpu.downgrade_write()


@pytest.mark.parametrize("body", [release_of_a_reader, downgrade_of_a_reader])
def test_a_reader_cannot_release_what_a_writer_has(body):
    assert "without holding it for writing: cpu0 hold it for reading" in fires(NAME, body)


@pytest.mark.parametrize(
    ("message", "act"),
    [
        (PmdUnlock(address=BASE), "unlocks the pmd_lock of"),
        (RestorePmd(address=BASE, table=-1), "puts the PMD back"),
        (InstallHuge(address=BASE, pfn=512, table_pfn=-1), "installs a huge PMD"),
        (SplitHuge(address=BASE), "splits the huge PMD"),
        (ZapHuge(address=BASE), "zaps the huge PMD"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_pmd_changes_under_its_lock_only(message, act):
    async def change(thread):
        cpu = thread.cpu
        # Another PMD's lock does not help; and what khugepaged may say, a CPU's test may not.
        await cpu.pmd_lock(BASE + PMD)
        cpu.engine.post(cpu.engine.now_ns, cpu.directory.mm, Saying(cpu), message, cpu.current.tag)
        await thread.compute(10_000)

    assert act in fires(NAME, change, set_up=with_history)


class Saying:
    """A CPU's place in the engine, with khugepaged's vocabulary."""

    def __init__(self, cpu):
        self.id, self.name, self.cpu_id = cpu.id, cpu.name, cpu.cpu_id
        self.says = frozenset({PmdUnlock, RestorePmd, InstallHuge, SplitHuge, ZapHuge})

    def receive(self, event):
        """Hear what the mm answers."""


def told(kind, *, write, owner="cpu0", lock="mmap_sem", place=0):
    return kind(lock=lock, place=place, write=write, owner=owner, tag=1 + int(owner.removeprefix("cpu")))


@pytest.mark.parametrize(
    "story",
    [
        (told(LockAcquired, write=True), told(LockAcquired, write=True, owner="cpu1")),
        (told(LockAcquired, write=True), told(LockAcquired, write=False, owner="cpu1")),
        (told(LockAcquired, write=False), told(LockAcquired, write=True, owner="cpu1")),
        (told(LockAcquired, write=True), told(LockReleased, write=True, owner="cpu1")),
        (told(LockAcquired, write=False), told(LockReleased, write=True)),
        (told(LockReleased, write=False),),
    ],
    ids=["two writers", "a reader too", "a writer too", "another's", "as a writer", "nobody's"],
)
def test_what_excludes_does_not_coexist(story):
    assert findings(LockExclusion(), *story) == [NAME]


def test_readers_and_other_locks_coexist():
    story = [
        told(LockAcquired, write=False),
        told(LockAcquired, write=False, owner="cpu1"),
        told(LockAcquired, write=True, owner="cpu2", lock="pte_lock", place=7),
        told(LockAcquired, write=True, owner="cpu3", lock="pte_lock", place=8),
        told(LockReleased, write=False),
        told(LockReleased, write=False, owner="cpu1"),
        told(LockAcquired, write=True, owner="cpu2"),
    ]
    assert findings(LockExclusion(), *story) == []


@pytest.mark.parametrize("policy", ["classic", "spf-v9", "per-vma"])
def test_ordinary_work_breaks_nothing(policy):
    async def work(thread):
        for _ in range(3):
            own = await thread.mmap(4 * PAGE)
            await thread.touch(own)
            await thread.touch(BASE)
            await thread.mprotect(own, PAGE, writable=False)
            await thread.munmap(own, 4 * PAGE)
            await thread.madvise_dontneed(BASE, PAGE)

    assert stopped(NAME, work, work, work, cpus=2, set_up=with_history, policy=policy).kind == "quiescent"
