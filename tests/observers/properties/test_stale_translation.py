"""stale_translation: CPUs whose TLB keeps what a flush has taken away."""

import pytest

from kactors.kernel.cpu_parts.tlb import Tlb
from kactors.observers.properties.stale_translation import StaleTranslation
from protocols.tracepoints import TlbFlush, TlbWalk, UserLoad, UserStore
from tests.actors.scenes import BASE, PAGE, wait_until
from tests.observers.properties.stories import findings, fires, stopped, with_history

NAME = "stale_translation"


class Forgetful(Tlb):
    """A TLB that takes the IPI and keeps its translations."""

    def invalidate(self, start, end):
        self.flushes += 1

    def clear(self):
        self.flushes += 1


async def keeps_using(thread):
    await thread.touch(BASE)
    await wait_until(thread, 300_000)
    await thread.touch(BASE, write=False)


async def drops(thread):
    await wait_until(thread, 100_000)
    await thread.madvise_dontneed(BASE, PAGE)


def with_forgetful_tlb(body):
    async def work(thread):
        thread.cpu.tlb = Forgetful(thread.cpu.machine)
        await body(thread)

    return work


@pytest.mark.parametrize("machine", ["small", "p8-80"])
def test_a_cpu_that_keeps_a_translation_over_the_flush_is_told(machine):
    options = {"set_up": with_history, "machine": machine}
    text = fires(NAME, with_forgetful_tlb(keeps_using), drops, **options)
    shift = 12 if machine == "small" else 16
    assert text.startswith("cpu0 loads at")
    assert f"through a translation of page {BASE >> shift:#x}" in text
    assert stopped(NAME, keeps_using, drops, **options).kind == "quiescent"


@pytest.mark.parametrize("policy", ["classic", "spf-v9", "per-vma"])
def test_ordinary_flushes_break_nothing(policy):
    async def work(thread):
        for round_ in range(4):
            await thread.touch(BASE + round_ % 2 * PAGE, write=round_ > 1)
            await thread.madvise_dontneed(BASE, PAGE)
            await thread.mprotect(BASE, 2 * PAGE, writable=False)
            await thread.touch(BASE, write=False)
            await thread.mprotect(BASE, 2 * PAGE, writable=True)

    assert stopped(NAME, work, work, work, cpus=3, set_up=with_history, policy=policy).kind == "quiescent"


def walk(vpn, cpu=0):
    return TlbWalk(vpn=vpn, cpu=cpu)


def store(vpn, cpu=0):
    return UserStore(vpn=vpn, pfn=7, cpu=cpu)


def flush(first, last, *, done):
    return TlbFlush(first=first, last=last, done=done)


WHOLE = (flush(100, 110, done=False), flush(100, 110, done=True))


@pytest.mark.parametrize(
    "story",
    [
        (walk(100), store(100)),
        (walk(100), flush(100, 101, done=False), store(100)),
        (walk(100), *WHOLE, walk(100), store(100)),
        (walk(100), flush(100, 101, done=False), walk(100), flush(100, 101, done=True), store(100)),
        (walk(110), *WHOLE, store(110)),
        (walk(100), walk(100, cpu=1), *WHOLE, walk(100, cpu=1), UserLoad(vpn=100, pfn=7, cpu=1)),
    ],
    ids=["a walk", "not acknowledged yet", "walked again", "walked meanwhile", "another range", "another CPU"],
)
def test_a_translation_walked_since_the_flush_began_may_be_used(story):
    assert findings(StaleTranslation(), *story) == []


@pytest.mark.parametrize(
    "story",
    [
        (walk(100), *WHOLE, store(100)),
        (walk(109), *WHOLE, UserLoad(vpn=109, pfn=7, cpu=0)),
        (walk(100), walk(100, cpu=1), *WHOLE, walk(100), store(100, cpu=1)),
        (walk(100), flush(100, 101, done=False), walk(100), flush(100, 101, done=True), *WHOLE, store(100)),
    ],
    ids=["a store", "a load", "another CPU's walk", "flushed again"],
)
def test_an_older_one_may_not(story):
    assert findings(StaleTranslation(), *story) == [NAME]
