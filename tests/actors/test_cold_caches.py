"""Kernel code is slower after user code, or another thread, has taken the caches."""

import pytest

from protocols.tracepoints import SyscallDone
from tests.actors.scenes import PAGE, Heard, played

COSTS = {"map_ns": 100_000, "cold_percent": 50, "cold_after_ns": 30_000}


def mmaps(*computed_ns, **costs):
    """How long each mmap takes of a thread that computes so long before it."""

    async def work(thread):
        for ns in computed_ns:
            await thread.compute(ns)
            await thread.mmap(PAGE)

    heard = Heard(SyscallDone)
    played(work, cpus=1, observers=[heard], costs=COSTS | costs)
    return [call.duration for call in heard.of(SyscallDone)]


def test_what_comes_soon_after_the_kernel_was_left_finds_it_warm():
    first, soon, late = mmaps(1, 29_000, 31_000)
    assert late - soon == pytest.approx(50_000, abs=1_000)
    assert first - soon == pytest.approx(50_000, abs=1_000), "a thread that was just switched in"


def test_where_it_is_no_matter_nothing_is_charged():
    took = mmaps(1, 29_000, 31_000, cold_percent=0)
    assert max(took) - min(took) < 1_000


def test_tracepoints_are_not_slower():
    async def work(thread):
        for ns in (1, 10, 31_000):
            await thread.compute(ns)
            await thread.mmap(PAGE)

    heard = Heard(SyscallDone)
    played(work, cpus=1, observers=[heard], costs=COSTS | {"tracing_ns": 100_000, "map_ns": 0}, traced=True)
    _, warm, cold = (call.duration for call in heard.of(SyscallDone))
    assert cold - warm < 1_000
