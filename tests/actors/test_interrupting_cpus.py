"""IPIs meet what a CPU is doing: computing, waiting, idle, interrupts off, serving another one."""

import pytest

from kactors.engine.errors import ActorCrash, IllegalMessage
from kactors.fault_policy import FaultPath, FaultPolicy
from kactors.kernel.accounting import Spent
from protocols.mmap_sem import MMAP_SEM_ACQUIRED
from protocols.scenario import Bounds
from protocols.tlb import FlushIpi, LeaveMm, SyncIpi
from protocols.tracepoints import IpiDone, IpiSend, IpiServed, RecordDone
from tests.accounting import assert_settled
from tests.actors.scenes import PAGE, Delivered, Heard, played, scene, spent, wait_until

HANDLER_NS, FLUSH_PAGE_NS, FLUSH_FULL_NS = 900, 100, 500
COSTS = {"ipi_handler_ns": HANDLER_NS, "tlb_flush_page_ns": FLUSH_PAGE_NS, "tlb_flush_full_ns": FLUSH_FULL_NS}


class Shared:
    """An area that one thread maps and the others use."""

    def __init__(self, pages=4):
        self.pages = pages
        self.start = 0

    async def set_up(self, thread):
        self.start = await thread.mmap(self.pages * PAGE)
        await thread.touch(self.start)

    def drop(self, after_ns, pages=1, times=1, page=0):
        """Touch and MADV_DONTNEED pages, from number ``page`` on: one flush each time."""

        async def work(thread):
            await thread.compute(after_ns)
            for _ in range(times):
                await thread.touch(self.start + page * PAGE)
                await thread.madvise_dontneed(self.start + page * PAGE, pages * PAGE)

        return work


def computing(ns):
    async def work(thread):
        await thread.compute(1)
        await thread.compute(ns)
        await thread.cpu.sync()
        thread.record_done()

    return work


@pytest.mark.parametrize("ns", [19_000, 60_000], ids=["uncut", "preemptible"])
def test_an_ipi_shifts_a_computation_by_exactly_the_handlers_time(ns):
    ends = []
    for after_ns in (5_000, 500_000):
        heard, shared = Heard(RecordDone, IpiServed), Shared()
        machine, _ = played(shared.drop(after_ns), computing(ns), set_up=shared.set_up, costs=COSTS, observers=[heard])
        ends += [at_ns for at_ns, _, heard_of in heard.all if type(heard_of) is RecordDone]
        assert_settled(machine)
    assert ends[0] - ends[1] == HANDLER_NS + FLUSH_PAGE_NS
    (served,) = (served for _, who, served in heard.all if type(served) is IpiServed)
    assert served.sender == 0


async def synchronize_at_5_us(thread):
    await thread.compute(5_000)
    await thread.cpu.synchronize()


@pytest.mark.parametrize("kind", ["flush", "sync"])
def test_an_ipi_that_is_served_tells_what_it_was_and_what_it_took(kind):
    heard, left = Heard(IpiServed), Delivered(FlushIpi, SyncIpi)
    sender, cost_ns = {"flush": (flush(5_000), HANDLER_NS + FLUSH_PAGE_NS), "sync": (synchronize_at_5_us, HANDLER_NS)}[
        kind
    ]
    played(sender, computing(60_000), costs=COSTS, observers=[heard, left])
    ((arrived_ns, _, _),) = left.all
    assert heard.all == [
        (
            arrived_ns,
            "cpu1",
            IpiServed(sender=0, kind=kind, arrived_at=arrived_ns, delayed=0, reason="at once", duration=cost_ns),
        )
    ]


def test_an_ipi_in_the_middle_of_a_walk_waits_for_its_end():
    """A page table walk is one instruction."""
    reasons = set()
    for late_ns in range(0, 400, 20):
        heard, shared = Heard(IpiServed), Shared()

        async def flush_late(thread, late_ns=late_ns):
            await wait_until(thread, 50_000 + late_ns)
            await thread.cpu.flush_tlb(0, PAGE)

        async def walk(thread, shared=shared):
            await wait_until(thread, 51_800)
            await thread.touch(shared.start)
            await wait_until(thread, 60_000)

        played(flush_late, walk, set_up=shared.set_up, costs=COSTS, observers=[heard])
        reasons |= {served.reason for served in heard.of(IpiServed)}
    assert {"at once", "irqs off in one instruction since 51800 ns"} <= reasons


def test_the_handlers_time_counts_as_service_and_not_as_user_time():
    shared = Shared()
    machine, _ = played(shared.drop(5_000), computing(60_000), set_up=shared.set_up, costs=COSTS)
    assert spent(machine, 1, Spent.IPI_SERVICE) == HANDLER_NS + FLUSH_PAGE_NS
    assert spent(machine, 1, Spent.USER) == 60_001


def test_a_range_above_the_ceiling_flushes_everything():
    shared = Shared(pages=40)
    machine, _ = played(shared.drop(5_000, pages=34), computing(60_000), set_up=shared.set_up, costs=COSTS)
    assert spent(machine, 1, Spent.IPI_SERVICE) == HANDLER_NS + FLUSH_FULL_NS


def test_an_ipi_that_arrives_during_the_handler_waits_for_its_end():
    heard, shared = Heard(IpiServed), Shared()
    costs = COSTS | {"ipi_handler_ns": 20_000, "ipi_delivery_ns": 10_000}
    bodies = (shared.drop(5_000), shared.drop(5_000, page=1), computing(200_000))
    machine, _ = played(*bodies, set_up=shared.set_up, cpus=3, costs=costs, observers=[heard])
    at_cpu_2 = [(at_ns, served) for at_ns, who, served in heard.all if who == "cpu2"]
    assert len(at_cpu_2) == 2
    (first_at_ns, first), (second_at_ns, second) = at_cpu_2
    assert (first.delayed, first.reason) == (0, "at once")
    assert second.reason == "serving another IPI"
    assert second_at_ns == first_at_ns + 20_000 + FLUSH_PAGE_NS
    assert second.delayed == second_at_ns - second.arrived_at
    assert_settled(machine)


def test_a_cpu_that_waits_for_acks_acknowledges_others():
    shared = Shared()
    bodies = (shared.drop(5_000, times=5), shared.drop(5_000, times=5, page=1))
    machine, result = played(*bodies, set_up=shared.set_up, costs=COSTS)
    assert result.stop.kind == "quiescent"
    assert result.ipi.flush.count == 10
    assert_settled(machine)


class IrqsOffFor(FaultPolicy):
    """Spends some time of each fault with interrupts off, then ends it as a bad access."""

    name = "irqs-off-for"

    def __init__(self, ns, gap_ns=None):
        self.ns, self.gap_ns = ns, gap_ns
        self.spans = []

    async def fault(self, cpu, address, *, write):
        del address, write
        for _ in range(1 if self.gap_ns is None else 2):
            with cpu.irqs_off("a test"):
                cpu.spend(self.ns)
                await cpu.read_pmd(0)
                self.spans.append((cpu.interrupts.off_since_ns, cpu.clock_ns))
            cpu.spend(self.gap_ns or 0)
        await cpu.sync()
        return FaultPath.SIGSEGV


def flush(after_ns):
    """A flush at everybody, that long after the start."""

    async def work(thread):
        await thread.compute(after_ns)
        await thread.cpu.flush_tlb(0, PAGE)

    return work


async def bad_touch(thread):
    await thread.compute(1_000)
    assert not await thread.touch(0)


def test_an_ipi_pended_by_interrupts_off_is_served_at_the_instant_of_enabling():
    heard, policy = Heard(IpiServed, IpiDone), IrqsOffFor(30_000)
    machine, result = played(flush(5_000), bad_touch, policy=policy, costs=COSTS, observers=[heard])
    ((off_ns, almost_on_ns),) = policy.spans
    on_ns = almost_on_ns + machine.system.machine.irq_toggle_ns
    served_at_ns, _, served = next(entry for entry in heard.all if type(entry[2]) is IpiServed)
    assert served_at_ns == on_ns
    assert served.delayed == on_ns - served.arrived_at
    assert served.reason == f"irqs off in a test since {off_ns} ns"
    done = heard.of(IpiDone)[0]
    assert done.sent_at + done.wait == on_ns + HANDLER_NS + FLUSH_PAGE_NS
    assert done.last_acker == 1
    assert result.ipi.worst.why == f"{served.reason}, delayed {served.delayed} ns"
    assert_settled(machine)


def test_an_ipi_between_two_sections_is_served_between_them_and_shifts_the_second():
    ends = []
    for after_ns in (5_000, 500_000):
        heard, policy = Heard(IpiServed), IrqsOffFor(2_000, gap_ns=10_000)
        machine, _ = played(flush(after_ns), bad_touch, policy=policy, costs=COSTS, observers=[heard])
        (first, second) = policy.spans
        ends.append((first[1], *second))
        if after_ns == 5_000:
            ((at_ns, _, served),) = heard.all
            assert served.reason == "at once"
            assert first[1] < at_ns < second[0]
        assert_settled(machine)
    assert ends[0][0] == ends[1][0]
    assert ends[0][1] - ends[1][1] == ends[0][2] - ends[1][2] == HANDLER_NS + FLUSH_PAGE_NS


class IrqsOffAhead(FaultPolicy):
    """Opens and closes a section ahead of virtual time: it says nothing in it."""

    name = "irqs-off-ahead"

    async def fault(self, cpu, address, *, write):
        del address, write
        with cpu.irqs_off("ahead"):
            cpu.spend(30_000)
        cpu.spend(5_000)
        await cpu.sync()
        return FaultPath.SIGSEGV


def test_a_section_computed_ahead_of_virtual_time_delays_an_ipi_as_well():
    heard = Heard(IpiServed)
    machine, _ = played(flush(5_000), bad_touch, policy=IrqsOffAhead(), costs=COSTS, observers=[heard])
    ((at_ns, _, served),) = heard.all
    assert "irqs off in ahead" in served.reason
    assert at_ns == served.arrived_at + served.delayed
    assert served.delayed > 10_000
    assert_settled(machine)


async def sleep_at_once(thread):
    await thread.compute(1)


def test_an_idle_cpu_leaves_its_idle_state_answers_and_leaves_mm_cpumask():
    heard, left, shared = Heard(IpiServed, IpiSend), Delivered(LeaveMm), Shared()
    bodies = (shared.drop(900_000, times=3), sleep_at_once)
    machine, _ = played(*bodies, set_up=shared.set_up, costs={**COSTS, "idle_exit_ns": 9_000}, observers=[heard, left])
    (served,) = heard.of(IpiServed)
    assert served.reason == "leaving its idle state"
    profile = machine.system.machine
    assert served.delayed == profile.idle_exit_ns - profile.ipi_delivery_ns, "counted from its sending"
    assert [send.targets for send in heard.of(IpiSend)] == [1], "later flushes had nobody to interrupt"
    assert len(left.all) == 1
    assert_settled(machine)


def test_an_idle_cpu_stays_in_mm_cpumask_when_it_is_only_asked_for_a_sign_of_life():
    left, served = Delivered(LeaveMm), Heard(IpiServed)

    async def synchronize(thread):
        await thread.compute(900_000)
        await thread.cpu.synchronize()

    machine, _ = played(synchronize, sleep_at_once, costs=COSTS, observers=[left, served])
    assert [told.kind for told in served.of(IpiServed)] == ["sync"]
    assert left.all == []
    assert_settled(machine)


def test_a_cpu_that_left_mm_cpumask_joins_again_with_an_empty_tlb():
    """It sleeps where no lock is held (the bound on speculation), so that pages can be dropped meanwhile."""
    heard, shared = Heard(IpiSend), Shared()
    ms = 1_000_000

    async def drop_two_pages(thread):
        await wait_until(thread, 20.2 * ms)
        for page in (0, 1):
            await thread.madvise_dontneed(shared.start + page * PAGE, PAGE)

    async def sleep_and_come_back(thread):
        await thread.touch(shared.start + PAGE)
        await wait_until(thread, 20.1 * ms)
        await thread.touch(shared.start + 2 * PAGE)
        assert await thread.touch(shared.start + PAGE)

    async def speculate_slowly(thread):
        await wait_until(thread, 20 * ms)
        await thread.touch(shared.start + 3 * PAGE)

    machine, result = played(
        drop_two_pages,
        sleep_and_come_back,
        speculate_slowly,
        set_up=shared.set_up,
        cpus=3,
        policy="spf-v9",
        costs=COSTS | {"clear_page_ns": ms},
        bounds=Bounds(spf_inflight_max=1),
        observers=[heard],
    )
    assert [send.targets for send in heard.of(IpiSend)] == [2, 1], "the second flush did not go to the CPU that slept"
    assert result.counters.faults == 1 + 4, "the page that was dropped meanwhile is faulted in again"
    assert_settled(machine)


@pytest.mark.parametrize("targets", [1, 3])
def test_the_sender_pays_one_exit_for_all_that_it_interrupts_while_they_hear_of_it(targets):
    exit_ns, took, arrived = 7_000, [], []
    for ns in (0, exit_ns):
        sent, served = Heard(IpiDone), Heard(IpiServed)
        bodies = (flush(5_000), *[computing(100_000)] * targets)
        costs = COSTS | {"ipi_exit_ns": ns}
        machine, _ = played(*bodies, cpus=targets + 1, costs=costs, observers=[sent, served])
        took.append((sent.of(IpiDone)[0].wait, spent(machine, 0, Spent.USER) + spent(machine, 0, Spent.SYSCALL)))
        arrived.append([told.arrived_at for told in served.of(IpiServed)])
        assert_settled(machine)
    assert took[0][0] < took[1][0] < took[0][0] + exit_ns, "the exit hides the wait for the acks"
    assert took[1][1] - took[0][1] == exit_ns, "the sender computes meanwhile, and does not wait"
    assert arrived[1] == arrived[0]


def test_a_flush_with_nobody_to_interrupt_costs_no_exit():
    took = []
    for ns in (0, 7_000):
        machine, result = played(flush(5_000), cpus=1, costs=COSTS | {"ipi_exit_ns": ns})
        took.append(result.virtual_ns)
        assert_settled(machine)
    assert took[0] == took[1]


def test_a_flush_that_a_later_one_overtook_is_done_by_the_later_one():
    """F4: the target that misses a generation flushes everything, and the overtaken IPI finds nothing left to do.

    Each sender interrupts the CPUs in their order, so CPU 2 comes to CPU 1 only after CPU 0.
    """
    heard, shared = Heard(IpiServed, IpiSend), Shared()

    def drop(page, at_ns):
        async def work(thread):
            await thread.touch(shared.start + page * PAGE)
            await wait_until(thread, at_ns)
            await thread.madvise_dontneed(shared.start + page * PAGE, PAGE)

        return work

    async def have_both_translations(thread):
        await wait_until(thread, 50_000)
        for page in (0, 1):
            await thread.touch(shared.start + page * PAGE)
        await thread.compute(200_000)

    bodies = (drop(1, 102_000), have_both_translations, drop(0, 100_000))
    costs = COSTS | {"ipi_send_ns": 8_000}
    machine, _ = played(*bodies, set_up=shared.set_up, cpus=3, costs=costs, observers=[heard])
    assert [who for _, who, entry in heard.all if type(entry) is IpiSend] == ["cpu2", "cpu0"]
    assert [entry.sender for _, who, entry in heard.all if who == "cpu1" and type(entry) is IpiServed] == [0, 2]
    assert spent(machine, 1, Spent.IPI_SERVICE) == 2 * HANDLER_NS + FLUSH_FULL_NS
    assert_settled(machine)


def test_the_wait_for_graph_says_why_a_cpu_has_not_acknowledged():
    machine = scene(flush(5_000), bad_touch, policy=IrqsOffFor(500_000), costs=COSTS, until_ns=200_000)
    machine.run()
    sender, target = machine.system.cpus
    holder = target.holder(sender, sender.current.tag)
    assert (holder.resource, holder.names, holder.why) == ("IPI ack of cpu1", ("cpu1",), "irqs off in a test")
    assert target.holder(sender, 99) is None
    (wait,) = [wait for wait in sender.blocked() if wait.request == "flush IPI ack"]
    assert wait.servers == (target,)


def test_an_answer_that_nobody_waits_for_is_illegal():
    machine = scene(computing(1_000))
    cpu = machine.system.cpus[0]
    machine.system.engine.post(500_000, cpu, machine.system.mm, MMAP_SEM_ACQUIRED, 77)
    with pytest.raises(ActorCrash, match="cpu0") as caught:
        machine.run()
    assert isinstance(caught.value.__cause__, IllegalMessage)
