"""RCU and SRCU: a grace period waits for the sections that had begun and for no others, in time and in a search."""

import pytest

from kactors.checker.search import Search, make_strategy
from kactors.checker.strategies.strategy import Budget
from kactors.checker.subject import Subject
from kactors.workloads import Program
from protocols.scenario import Scenario
from protocols.stop import Deadlock
from protocols.tracepoints import MmPageFree
from tests.actors.scenes import BASE, PAGE, Heard, played, wait_until

US = 1_000


async def rcu_section(thread, begins_ns, ns):
    await wait_until(thread, begins_ns)
    with thread.cpu.rcu_read_lock():
        await thread.compute(ns)
        await thread.cpu.read_pmd(BASE)
        return thread.cpu.clock_ns


async def srcu_section(thread, begins_ns, ns):
    await wait_until(thread, begins_ns)
    index = await thread.cpu.srcu_read_lock("vmas")
    await thread.compute(ns)
    ended_ns = thread.cpu.clock_ns
    thread.cpu.srcu_read_unlock("vmas", index)
    return ended_ns


async def synchronize_rcu(thread):
    await thread.cpu.synchronize_rcu()


async def synchronize_srcu(thread):
    await thread.cpu.synchronize_srcu("vmas")


KINDS = [(rcu_section, synchronize_rcu), (srcu_section, synchronize_srcu)]


def times(section, synchronize, begins_us, ends_us, asked_us):
    """Return when the section ended and when the grace period did, in ns."""
    seen = {}

    async def reader(thread):
        seen["reader"] = await section(thread, begins_us * US, (ends_us - begins_us) * US)

    async def writer(thread):
        await wait_until(thread, asked_us * US)
        await synchronize(thread)
        seen["writer"] = thread.cpu.clock_ns

    played(reader, writer, set_up=lambda thread: thread.mmap(PAGE, address=BASE))
    return seen["reader"], seen["writer"]


@pytest.mark.parametrize(("section", "synchronize"), KINDS)
def test_a_grace_period_waits_for_a_section_that_had_begun(section, synchronize):
    ended_ns, over_ns = times(section, synchronize, begins_us=100, ends_us=300, asked_us=150)
    assert ended_ns >= 300 * US
    assert over_ns >= ended_ns


@pytest.mark.parametrize(("section", "synchronize"), KINDS)
def test_it_does_not_wait_for_a_section_that_begins_later(section, synchronize):
    _, over_ns = times(section, synchronize, begins_us=200, ends_us=900, asked_us=100)
    assert over_ns < 200 * US


@pytest.mark.parametrize(("section", "synchronize"), KINDS)
def test_without_readers_it_is_over_at_once(section, synchronize):
    _, over_ns = times(section, synchronize, begins_us=100, ends_us=200, asked_us=400)
    assert over_ns < 410 * US


def test_a_grace_period_of_ones_own_section_never_ends():
    async def both(thread):
        with thread.cpu.rcu_read_lock():
            await thread.cpu.synchronize_rcu()

    _, result = played(both)
    assert isinstance(result.stop, Deadlock)
    assert result.stop.cycle[0].resource == "RCU grace period"
    assert "RCU read section" in result.stop.cycle[0].why


def test_sections_nest():
    over = {}

    async def reader(thread):
        with thread.cpu.rcu_read_lock():
            with thread.cpu.rcu_read_lock():
                await thread.compute(100 * US)
            await thread.compute(100 * US)
            await thread.cpu.read_pmd(BASE)
            over["reader"] = thread.cpu.clock_ns

    async def writer(thread):
        await wait_until(thread, 50 * US)
        await thread.cpu.synchronize_rcu()
        over["writer"] = thread.cpu.clock_ns

    played(reader, writer)
    assert over["writer"] >= over["reader"]


@pytest.mark.parametrize("domain", ["", "vmas"])
def test_frames_given_to_call_rcu_are_freed_after_the_section_and_none_is_lost(domain):
    freed, section = Heard(MmPageFree), rcu_section if domain == "" else srcu_section
    ended = {}

    async def reader(thread):
        ended["at"] = await section(thread, 100 * US, 200 * US)

    async def writer(thread):
        await wait_until(thread, 150 * US)
        pfn = await thread.cpu.take_page()
        thread.cpu.call_rcu((pfn,), domain)
        ended["called"] = thread.cpu.clock_ns

    machine, _ = played(reader, writer, observers=(freed,))
    ((at_ns, _, _),) = freed.all
    assert ended["called"] < 200 * US
    assert at_ns >= ended["at"]
    assert machine.system.account_pages().conserved


# --- searched --------------------------------------------------------------------------------------------------------


class MessagePassing(Program):
    """The guarantee of RCU as a litmus test: x = 1, grace period, y = 1 against a section that reads x, then y."""

    def __init__(self, protected, synchronized):
        super().__init__((self.reader, self.writer), self.map_two)
        self._protected, self._synchronized = protected, synchronized

    async def map_two(self, thread):
        await thread.mmap(PAGE, address=BASE)
        await thread.mmap(PAGE, address=BASE + 2 * PAGE)

    async def reader(self, thread):
        cpu = thread.cpu
        x, y = await cpu.find_vma(BASE), await cpu.find_vma(BASE + 2 * PAGE)
        index = 0
        if self._protected == "srcu":
            index = await cpu.srcu_read_lock("vmas")
        if self._protected == "rcu":
            with cpu.rcu_read_lock():
                await self.read(thread, x, y)
        else:
            await self.read(thread, x, y)
        if self._protected == "srcu":
            cpu.srcu_read_unlock("vmas", index)

    async def read(self, thread, x, y):
        thread.note("x", str(int((await thread.cpu.find_vma(BASE)).sequence)))
        thread.note("y", str(int((await thread.cpu.find_vma(BASE + 2 * PAGE)).sequence)))

    async def writer(self, thread):
        cpu = thread.cpu
        x, y = await cpu.find_vma(BASE), await cpu.find_vma(BASE + 2 * PAGE)
        cpu.vm_write_begin(x.vma_id)
        if self._synchronized == "rcu":
            await cpu.synchronize_rcu()
        elif self._synchronized == "srcu":
            await cpu.synchronize_srcu("vmas")
        cpu.vm_write_begin(y.vma_id)


def outcomes(protected, synchronized):
    scenario = Scenario(machine="small", cpus=2, policy="classic")
    subject = Subject(scenario, workload=MessagePassing(protected, synchronized), properties=list)
    search = Search(subject, make_strategy("exhaustive", subject, Budget(), 1)).run(keep_going=True)
    assert search.strategy.complete
    assert search.finding is None
    return {tuple(value for _, value in registers) for registers in search.outcomes}


@pytest.mark.parametrize("kind", ["rcu", "srcu"])
def test_no_section_sees_the_time_before_and_the_time_after_a_grace_period(kind):
    assert outcomes(kind, kind) == {("0", "0"), ("1", "0"), ("1", "1")}


@pytest.mark.parametrize(("protected", "synchronized"), [("none", "rcu"), ("rcu", "none"), ("rcu", "srcu")])
def test_without_section_or_grace_period_it_may(protected, synchronized):
    assert ("0", "1") in outcomes(protected, synchronized)
