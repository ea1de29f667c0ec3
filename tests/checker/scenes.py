"""Small machines for searches: what two or three threads do with a page or two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kactors.checker.subject import Subject
from kactors.syscalls import UserThread
from kactors.workloads.program import Body, Program
from protocols.scenario import Bounds, Khugepaged, Scenario
from protocols.vma import ReadSequence

PMD_SIZE = 1 << 21
BASE = 0x7E00_0000_0000
"""Where the area of a scene begins: the border of a PMD range."""

PAGE = 4096
PAGES = 4
"""Of the area."""


class Scene(Program):
    """Threads on one area of a few pages, and maybe khugepaged on it.

    Args:
        workers: what each thread does.
        touched: pages that are there already, so that there is a page table and an anon_vma.
        hugepage: the area is a whole PMD range, MADV_HUGEPAGE, and khugepaged is told to collapse it.
    """

    def __init__(self, *workers: Body, touched: Sequence[int] = (3,), hugepage: bool = False) -> None:
        super().__init__(workers)
        self._touched = touched
        self._hugepage = hugepage

    async def set_up(self, thread: UserThread, workers: int) -> None:
        del workers
        await thread.mmap(PMD_SIZE if self._hugepage else PAGES * PAGE, address=BASE)
        if self._hugepage:
            await thread.madvise_hugepage(BASE, PMD_SIZE)
        for page in self._touched:
            await thread.touch(BASE + page * PAGE)

    def collapses(self) -> Sequence[int]:
        return (BASE,) if self._hugepage else ()


def store(page: int = 0) -> Body:
    async def body(thread: UserThread) -> None:
        there = await thread.touch(BASE + page * PAGE)
        thread.note(f"stored{thread.number}", there)

    return body


def load(page: int = 0) -> Body:
    async def body(thread: UserThread) -> None:
        there = await thread.touch(BASE + page * PAGE, write=False)
        thread.note(f"loaded{thread.number}", there)

    return body


def munmap(page: int = 0, pages: int = 1) -> Body:
    async def body(thread: UserThread) -> None:
        await thread.munmap(BASE + page * PAGE, pages * PAGE)

    return body


def dontneed(page: int = 0, pages: int = 1) -> Body:
    async def body(thread: UserThread) -> None:
        await thread.madvise_dontneed(BASE + page * PAGE, pages * PAGE)

    return body


def mprotect(page: int = 0, pages: int = 1) -> Body:
    async def body(thread: UserThread) -> None:
        await thread.mprotect(BASE + page * PAGE, pages * PAGE, writable=False)

    return body


async def mmap(thread: UserThread) -> None:
    await thread.mmap(PAGE, address=BASE + PAGES * PAGE)


async def munmap_after_readers(thread: UserThread) -> None:
    """Wait until no CPU is in a read section; each answers in between what its thread does."""
    await thread.cpu.synchronize_rcu()
    await thread.munmap(BASE, PAGE)


async def read_sequence(thread: UserThread) -> None:
    """Ask one thing only, so that whatever comes before it comes before all."""
    thread.note("seen", await thread.cpu.ask(thread.cpu.directory.mm, ReadSequence(vma_id=1)))


async def nothing(thread: UserThread) -> None:
    """A thread that ends at once."""
    del thread


HUGE_FAULTS = {"khugepaged": Khugepaged(fault_huge=True)}

SCENES: dict[str, Callable[[], Scene]] = {
    "two faults": lambda: Scene(store(), store()),
    "store and load": lambda: Scene(store(), load()),
    "fault and munmap of its page": lambda: Scene(store(), munmap()),
    "fault and munmap of all": lambda: Scene(store(), munmap(0, PAGES)),
    "fault and dontneed": lambda: Scene(store(), dontneed(3)),
    "fault and mprotect": lambda: Scene(mprotect(3), store(3)),
    "fault and mprotect of half": lambda: Scene(store(), mprotect(1, 2)),
    "collapse": lambda: Scene(store(), hugepage=True),
}
"""Two clients each, by name: small enough to be searched completely."""


THREE_CPUS: dict[str, Callable[[], Scene]] = {
    "three faults": lambda: Scene(store(), store(), store()),
    "munmap and two that hold the page": lambda: Scene(nothing, load(3), munmap(3)),
    "two munmaps and a fault": lambda: Scene(store(), munmap(1), munmap(2)),
}


OTHERS: dict[str, tuple[Callable[[], Scene], dict[str, Any]]] = {
    "first faults": (lambda: Scene(store(), store(1), touched=()), {}),
    "mmap and fault": (lambda: Scene(mmap, store()), {}),
    "grace period and a question": (lambda: Scene(munmap_after_readers, read_sequence), {}),
    "two writers": (lambda: Scene(munmap(1), munmap(2)), {}),
    "bounded faults": (lambda: Scene(store(), store()), {"bounds": Bounds(spf_inflight_max=1)}),
    "huge page, dontneed": (lambda: Scene(dontneed(0, 512), store(1), touched=(0,), hugepage=True), HUGE_FAULTS),
    "huge page, split": (lambda: Scene(dontneed(1, 1), store(1), touched=(0,), hugepage=True), HUGE_FAULTS),
}
"""Messages that the other scenes do not bring up, with what the scenario says besides."""


def subject(scene: str, policy: str = "spf-v9", *, cpus: int = 2) -> Subject:
    made, said = OTHERS.get(scene) or ((SCENES | THREE_CPUS)[scene], {})
    return Subject(Scenario(machine="small", policy=policy, cpus=cpus, **said), workload=made())
