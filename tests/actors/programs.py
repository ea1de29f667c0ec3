"""What threads do again and again in exact tests: areas with and without a past, one write, something later."""

from protocols.vma import VmaKind
from tests.actors.scenes import BASE, PAGE


def area_of(kind=VmaKind.ANON, *, touched=True):
    """Set up ten pages; ``touched``: their page table exists, and of anonymous ones the anon_vma."""

    async def set_up(thread):
        await thread.mmap(10 * PAGE, address=BASE, kind=kind)
        if touched:
            await thread.touch(BASE + 9 * PAGE)

    return set_up


with_history = area_of()


async def one_write(thread):
    """A store, or SIGSEGV."""
    await thread.touch(BASE)


def later(call, after_ns=50_000):
    """Do something when others have begun."""

    async def work(thread):
        await thread.compute(after_ns)
        await call(thread)

    return work
