"""irqs_balanced: sections that do not end, that end twice, or that sleep and wait."""

import pytest

from benchmarks.seeds import SCENES
from kactors import Machine
from kactors.observers.properties import load_property
from kactors.observers.properties.irqs_balanced import IrqsBalanced
from kactors.policies.classic import Classic, classic_fault
from kactors.policies.spf_v9 import SpfV9
from protocols.tracepoints import IRQ_ENABLE, FaultDone, IrqDisable, MightSleep
from tests.actors.scenes import BASE, PAGE, played
from tests.observers.properties.stories import findings, fires, one_write, stopped, with_history

NAME = "irqs_balanced"


class Wraps(Classic):
    """Serves the fault as usual, and something else before."""

    async def fault(self, cpu, address, *, write):
        await self.before(cpu, address)
        return await classic_fault(cpu, address, write=write)


class StaysOff(Wraps):
    async def before(self, cpu, address):
        pass

    async def fault(self, cpu, address, *, write):
        path = await super().fault(cpu, address, write=write)
        cpu.local_irq_disable("my path")
        return path


class EnablesTwice(Wraps):
    async def before(self, cpu, address):
        cpu.local_irq_enable()


class DisablesTwice(Wraps):
    async def before(self, cpu, address):
        cpu.local_irq_disable("my path")
        cpu.local_irq_disable("another")


class TakesMmapSem(Wraps):
    async def before(self, cpu, address):
        with cpu.irqs_off("my path"):
            await cpu.down_read()
        await cpu.up_read()


class Allocates(Wraps):
    async def before(self, cpu, address):
        with cpu.irqs_off("my path"):
            page = await cpu.alloc_page(address)
        await cpu.discard(page)


class Flushes(Wraps):
    async def before(self, cpu, address):
        with cpu.irqs_off("my path"):
            await cpu.flush_tlb(address, address + PAGE)


async def busy(thread):
    await thread.compute(100_000)


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (StaysOff, "with irqs off in my path, cpu0 returns from a fault to user mode"),
        (EnablesTwice, "cpu0 enables interrupts at"),
        (DisablesTwice, "with irqs off in my path, cpu0 disables them again for another"),
        (TakesMmapSem, "with irqs off in my path, cpu0 takes mmap_sem for reading"),
        (Allocates, "with irqs off in my path, cpu0 allocates a page"),
        (Flushes, "with irqs off in my path, cpu0 waits for 1 acks of a flush IPI"),
    ],
)
def test_what_a_policy_does_with_irqs_off_is_told(policy, words):
    assert fires(NAME, one_write, busy, set_up=with_history, policy=policy()).startswith(words)


def test_sleeping_with_irqs_off_is_told_before_anybody_wakes_up():
    async def writes(thread):
        await thread.cpu.down_write()
        await thread.compute(50_000)
        await thread.cpu.up_write()

    async def reads(thread):
        await thread.compute(5_000)
        with thread.cpu.irqs_off("my path"):
            await thread.cpu.down_read()

    text = fires(NAME, writes, reads)
    assert text.startswith("with irqs off in my path, cpu1 may sleep for DownRead")


def test_direct_reclaim_may_sleep():
    async def much(thread):
        with thread.cpu.irqs_off("my path"):
            while True:
                await thread.cpu.take_page()

    assert "cpu0 may sleep for direct reclaim" in fires(NAME, much, costs={"memory_mib": 4, "page_cache_mib": 1})


def test_sections_nest():
    seen = []

    class Nested(Wraps):
        async def before(self, cpu, address):
            with cpu.irqs_off("outer"):
                with cpu.irqs_off("inner"):
                    seen.append(cpu.interrupts.enabled)
                seen.append(cpu.interrupts.enabled)
            seen.append(cpu.interrupts.enabled)

    assert stopped(NAME, one_write, set_up=with_history, policy=Nested()).kind == "quiescent"
    assert seen[-3:] == [False, False, True]


def test_an_end_with_irqs_off_is_a_finding():
    async def disables(thread):
        thread.cpu.local_irq_disable("my path")

    assert "cpu0 has ended all its threads" in fires(NAME, disables)


@pytest.mark.parametrize("policy", ["classic", "spf-v9", "per-vma"])
@pytest.mark.parametrize("scene", SCENES)
def test_our_policies_are_balanced(policy, scene):
    for seed in range(10):
        scenario = SCENES[scene].model_copy(update={"policy": policy, "seed": seed})
        assert Machine(scenario, observers=(load_property(NAME),), properties=False).run().stop.kind == "quiescent"


def test_a_syscall_returns_with_irqs_on():
    async def unmaps(thread):
        thread.cpu.local_irq_disable("my path")
        await thread.mprotect(BASE, PAGE, writable=True)

    assert "with irqs off in my path, cpu0" in fires(NAME, unmaps, set_up=with_history)


def test_each_cpu_has_its_own_flag():
    observer, hear = IrqsBalanced(), IrqsBalanced().tracepoints()
    assert findings(observer, IrqDisable(path="a"), IRQ_ENABLE, FaultDone(address=0, duration=1, path="spf")) == []
    assert hear[IrqDisable](1, "cpu0", IrqDisable(path="a")) is None
    assert hear[MightSleep](2, "cpu1", MightSleep(why="x")) is None
    assert hear[MightSleep](3, "cpu0", MightSleep(why="x")) is not None


def test_spf_with_its_allocation_inside_the_section_is_told():
    class AllocatesInTheCommit(SpfV9):
        async def first_vma_check(self, cpu, vma):
            await cpu.discard(await cpu.alloc_page(vma.start))
            return await super().first_vma_check(cpu, vma)

    machine, result = played(one_write, set_up=with_history, policy=AllocatesInTheCommit())
    assert result.stop.property == NAME
    assert "irqs off in pte_map_lock" in result.stop.text
    assert machine.system.policy.name == "spf-v9"
