"""One CPU: runs threads, serves interrupts, holds a TLB and a page list.

Owns: the run queue and the threads on it, its interrupt state, its TLB and walk cache, its per-CPU page list.
Hears: answers and wake-ups for its threads, IPIs and tlbie, timers of its own, drain requests, SIGKILL, its hypervisor;
       questions of grace periods.
Says: whatever its threads' kernel code asks of the mm, page tables and allocator; IPIs and acks.
Never: reads another actor's state; knows what a fault policy is.

A CPU computes ahead of virtual time. An IPI that arrives inside that span is served at the exact instant that its
interrupts allow, and whatever has not left by then is shifted by the handler's time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, cast

from kactors.context import CALL_EVENTS, FLUSH_EVENTS
from kactors.engine.actor import Actor
from kactors.engine.engine import Engine
from kactors.engine.errors import IllegalMessage
from kactors.engine.event import Event, show
from kactors.engine.waits import Holder
from kactors.execution import Directory
from kactors.kernel.accounting import Spent
from kactors.kernel.cpu_parts.interrupts import Interrupts
from kactors.kernel.mm_parts.shootdown import CTX_ID_SHIFT
from kactors.kernel.ratio import Ratio
from kactors.scheduler import Scheduler
from kactors.thread import IDLE, Thread
from protocols.allocation import DrainPages, PagesDrained
from protocols.base import Message
from protocols.host import MmUsers, SetSpeculationBound, StealCpu
from protocols.rcu import QUIESCENT, RcuCallback, ReportQuiescent, VmaCallbacks
from protocols.roles import heard_by, said_by
from protocols.scheduling import DISPATCH, KTHREAD_RAN, RESUME, RunKthread, SiblingBusy, Sigkill
from protocols.tlb import IPI_ACK, LEAVE_MM, FlushIpi, IpiAck, SyncIpi, Tlbie
from protocols.tracepoints import IRQ_ENABLE, IpiServed, IrqDisable, IrqEnable, MmPageFree

IRQ_ENTRY_EVENTS = IRQ_EXIT_EVENTS = 1
"""Tracepoints of the interrupt in which a CPU is asked: call_function_single_entry; and _exit, after its ack."""

KTHREAD = 1 << 20
"""The number of a CPU's kernel thread: above every user thread's."""


class Cpu(Scheduler):
    """The actor of one CPU.

    Args:
        engine: the machine's engine.
        cpu_id: its number.
        directory: the other actors' addresses.
    """

    role: ClassVar[str] = "cpu"
    hears: ClassVar[frozenset[type[Message]]] = heard_by("cpu")
    says: ClassVar[frozenset[type[Message]]] = said_by("cpu")

    def __init__(self, engine: Engine, cpu_id: int, directory: Directory) -> None:
        super().__init__(engine, f"cpu{cpu_id}", cpu_id, directory)
        self._reader = Interrupts()
        self._sections = 0
        self._others: dict[type[Message], Callable[[Event], None]] = {
            **self.schedule_handlers(),
            **self.migration_handlers(),
            FlushIpi: self._interrupt,
            SyncIpi: self._interrupt,
            IpiAck: self._ack,
            Tlbie: self._tlbie,
            DrainPages: self._drain,
            Sigkill: self._sigkill,
            StealCpu: self._steal,
            SiblingBusy: self.sibling,
            MmUsers: self._cloned,
            SetSpeculationBound: self._bound,
            ReportQuiescent: self._report,
            VmaCallbacks: self._queue_callbacks,
            RcuCallback: self._rcu_callback,
            RunKthread: self._run_kthread,
        }

    def receive(self, event: Event) -> None:
        """Handle one delivery: an interrupt, a wake-up, a timer, or the answer that the current thread waits for."""
        other = self._others.get(type(event[4]))
        if other is not None:
            other(event)
        elif event[3] == self.current.tag:
            self._resume(event)
        else:
            raise IllegalMessage(f"{self.name}: {show(event[4])} answers no request of {self.current.name}")

    # --- interrupts --------------------------------------------------------------------------------------------------

    def irqs_off(self, path: str) -> IrqsOff:
        """Return a context in which this CPU takes no IPI; ``path`` names the code, for explanations."""
        return IrqsOff(self, path)

    def instruction(self) -> Instruction:
        """Return a context for what one instruction does, such as a walk of the page tables."""
        return Instruction(self)

    def local_irq_disable(self, path: str) -> None:
        """Take no interrupt from here on."""
        self.spend(self.machine.irq_toggle_ns)
        if self.engine.listens(IrqDisable):
            self.note(IrqDisable(path=path))
        self.interrupts.disable(self.clock_ns, path)

    def local_irq_enable(self) -> None:
        """Take interrupts again; those that wait are served at this very instant."""
        self.spend(self.machine.irq_toggle_ns)
        self.take_pending()
        if self.engine.listens(IrqEnable):
            self.note(IRQ_ENABLE)

    def take_pending(self) -> None:
        """Serve the interrupts that wait, and those to come as they come."""
        interrupts = self.interrupts
        why = interrupts.why_off()
        waiting, interrupts.pending = interrupts.pending, []
        for event in waiting:
            self._serve(event, max(self.clock_ns, interrupts.busy_until_ns), why)
        self.clock_ns = max(self.clock_ns, interrupts.busy_until_ns)
        interrupts.enable(self.clock_ns, self.engine.now_ns)

    def _interrupt(self, event: Event) -> None:
        served = self.interrupts.serve_at(event[0])
        if served is None:
            self.interrupts.pending.append(event)
        elif self.current is IDLE:
            self._serve_idle(event, *served)
        else:
            self._serve_running(event, *served)

    def _serve_running(self, event: Event, at_ns: int, why: str) -> None:
        """A virtual CPU stops first: the hypervisor has it exit, so as to enter it again with the interrupt."""
        stop_ns = self.machine.ipi_stop_ns
        if stop_ns:
            stop_ns = self.jitter(stop_ns)
            self._occupy(at_ns, stop_ns, Spent.IPI_SERVICE)
            why = f"{why}, stopping the vCPU" if why else "stopping the vCPU"
        self._serve(event, at_ns + stop_ns, why)

    def _serve_idle(self, event: Event, at_ns: int, why: str) -> None:
        """An idle CPU holds the mm lazily: it leaves its idle state, answers, and leaves mm_cpumask (F5)."""
        # Counted from when the interrupt was sent, as that of a wake-up is: it is delivered by ending the idle state.
        awake_ns = max(at_ns, self.leave_idle(at_ns - self.machine.ipi_delivery_ns))
        if awake_ns > at_ns:
            at_ns, why = awake_ns, f"{why}, leaving its idle state" if why else "leaving its idle state"
        self._end_idle(at_ns)
        self._serve(event, at_ns, why)
        self._idle_since_ns = self.interrupts.busy_until_ns
        if self._in_mm and type(event[4]) is FlushIpi:
            self._in_mm = False
            self.engine.post(self.interrupts.busy_until_ns, self.directory.mm, self, LEAVE_MM)

    def _serve(self, event: Event, at_ns: int, why: str) -> None:
        """Run the handler at ``at_ns``, acknowledge, and shift what the CPU had computed beyond that."""
        _, _, sender, tag, message = event
        cost_ns = self.machine.ipi_handler_ns + (IRQ_ENTRY_EVENTS + CALL_EVENTS) * self._tracing_ns
        if type(message) is FlushIpi:
            cost_ns += self._flush(message) + FLUSH_EVENTS * self._tracing_ns
        cost_ns = self.slowed(cost_ns)
        self._occupy(at_ns, cost_ns + IRQ_EXIT_EVENTS * self._tracing_ns, Spent.IPI_SERVICE)
        self.engine.post(at_ns + cost_ns, sender, self.me, IPI_ACK, tag)
        if self.engine.listens(IpiServed):
            self._tell_served(event, at_ns, cost_ns, why)

    def _occupy(self, at_ns: int, ns: int, kind: Spent) -> None:
        """Be away from the current thread for ``ns``: what it had computed beyond ``at_ns`` comes later."""
        if at_ns < self.clock_ns and self.current is not IDLE:
            self.shift(at_ns, ns)
            self.interrupts.shift(at_ns, ns)
            self._reader.shift(at_ns, ns)
            if (thread := cast(Thread, self.current)).stops_at is not None:
                thread.stops_at = self._outbox[-1]
        self.interrupts.busy_until_ns = at_ns + ns
        self.spent[kind] += ns
        self.stolen_ns += ns

    def _tell_served(self, event: Event, at_ns: int, cost_ns: int, why: str) -> None:
        sender: Any = event[2]
        served = IpiServed(
            sender=sender.cpu_id,
            kind="flush" if type(event[4]) is FlushIpi else "sync",
            arrived_at=event[0],
            delayed=at_ns - event[0],
            reason=why or "at once",
            duration=cost_ns,
        )
        self.engine.emit(at_ns, self.me, served)

    def _flush(self, message: FlushIpi) -> int:
        """flush_tlb_func F4: nothing when a later flush was done already, everything when one was missed.

        Nothing either when another mm has been loaded meanwhile: that found the TLB empty.
        """
        tlb = self.tlb
        if message.generation <= tlb.generation or message.generation >> CTX_ID_SHIFT != tlb.generation >> CTX_ID_SHIFT:
            return 0
        full = message.full or message.generation > tlb.generation + 1
        tlb.generation = message.generation
        if full:
            tlb.clear()
            return self.machine.tlb_flush_full_ns
        tlb.invalidate(message.start, message.end)
        return self.flush_cost_ns(message)

    def flush_local(self, message: FlushIpi) -> None:
        """F2: flush this CPU's own TLB."""
        self.spend(self._flush(message))

    def _tlbie(self, event: Event) -> None:
        message = cast(Tlbie, event[4])
        if event[2] is not self.directory.mm:
            return  # meant for a process that has left this CPU, with its translations
        self.tlb.invalidate(message.start, message.end)

    def _ack(self, event: Event) -> None:
        if not self.take_ack(self.current, event):
            return
        if event[0] < self.clock_ns:
            # They have all been quicker than this CPU with its own share of the work.
            self.say(self, RESUME, self.current.tag)
        else:
            self._resume(event)

    # --- the other CPUs of the core ----------------------------------------------------------------------------------

    def computing_from(self, at_ns: int) -> int:
        """Return since when after ``at_ns`` the current thread computes; its clock's time or later: it does not."""
        return self.clock_ns if self.current is IDLE else max(at_ns, self.interrupts.busy_until_ns)

    def stretch(self, from_ns: int, factor: Ratio) -> None:
        """The spans in which this CPU takes no interrupt, and the end of a long computation, move with the rest."""
        super().stretch(from_ns, factor)
        self.interrupts.stretch(from_ns, factor)
        self._reader.stretch(from_ns, factor)
        if (thread := cast(Thread, self.current)).stops_at is not None:
            thread.stops_at = self._outbox[-1]

    # --- RCU ---------------------------------------------------------------------------------------------------------

    def rcu_read_lock(self) -> ReadSection:
        """Return a context for which grace periods wait, once it has been entered."""
        return ReadSection(self)

    def enter_section(self) -> None:
        """Read from here on what is not freed before the section ends."""
        if not self._sections:
            self._reader.disable(self.clock_ns, "RCU read section")
        self._sections += 1

    def leave_section(self) -> None:
        """End a section; with the outermost one those who wait for this CPU hear of it."""
        self._sections -= 1
        if not self._sections:
            waiting, self._reader.pending = self._reader.pending, []
            self._reader.enable(self.clock_ns, self.engine.now_ns)
            for event in waiting:
                self.say_at(self.clock_ns, event[2], QUIESCENT, event[3])

    def _report(self, event: Event) -> None:
        """A section that begins after this instant is none that the grace period has to wait for."""
        outside = self._reader.serve_at(event[0])
        if outside is None:
            self._reader.pending.append(event)
        else:
            at_ns = max(outside[0], self.interrupts.stolen_until_ns)
            self.engine.post(at_ns, event[2], self, QUIESCENT, event[3])

    def _rcu_callback(self, event: Event) -> None:
        for pfn in cast(RcuCallback, event[4]).pfns:
            if self.engine.listens(MmPageFree):
                self.engine.emit(event[0], self, MmPageFree(pfn=pfn, order=0))
            self.pages.put(pfn)

    def _queue_callbacks(self, event: Event) -> None:
        """They run when the thread returns to user mode or gives up its CPU; an idle CPU leaves its idle state."""
        self._callbacks.append((event[2], cast(VmaCallbacks, event[4])))
        if self.current is IDLE and not self._waking:
            self._waking = True
            self.engine.post(self.leave_idle(event[0]), self, self, DISPATCH)

    # --- kernel threads ---------------------------------------------------------------------------------------------

    def _run_kthread(self, event: Event) -> None:
        """One more thread that is runnable here until it has computed for so long."""
        ns = cast(RunKthread, event[4]).duration

        async def compute() -> None:
            left_ns = ns
            while left_ns:
                left_ns = await self.compute_preemptibly(left_ns)
            self.say(event[2], KTHREAD_RAN, event[3])

        thread = Thread(KTHREAD, compute, None)
        self.add_thread(thread)
        self.start(thread, event[0])

    # --- from outside ------------------------------------------------------------------------------------------------

    def _steal(self, event: Event) -> None:
        """The hypervisor runs somebody else, irqs on or off; a handler that runs is let finish."""
        duration_ns = cast(StealCpu, event[4]).duration
        at_ns = max(event[0], self.interrupts.busy_until_ns)
        if self.current is IDLE:
            # On its way to idle it has nothing to end yet: the way takes longer.
            self._end_idle(max(at_ns, self._idle_since_ns))
            self._idle_since_ns += duration_ns
        self._occupy(at_ns, duration_ns, Spent.STOLEN)
        self.interrupts.steal(at_ns, duration_ns)

    def _cloned(self, event: Event) -> None:
        self.learn_users(0, cast(MmUsers, event[4]).mm_users)

    def _bound(self, event: Event) -> None:
        message = cast(SetSpeculationBound, event[4])
        self.bounded = message.scope if message.inflight_max is not None else None

    # --- the rest ----------------------------------------------------------------------------------------------------

    def _drain(self, event: Event) -> None:
        drained_ns = max(event[0], self.interrupts.stolen_until_ns)
        self.engine.post(drained_ns, event[2], self, PagesDrained(pfns=self.pages.drain()), event[3])

    def _sigkill(self, event: Event) -> None:
        self.kill(event[3])

    def holder(self, client: Actor, tag: int) -> Holder | None:
        """Say why this CPU has not acknowledged an IPI."""
        interrupts = self.interrupts
        if not any(event[2] is client and event[3] == tag for event in interrupts.pending):
            return None
        why = f"irqs off in {interrupts.path}"
        return Holder(f"IPI ack of {self.name}", (self.name,), interrupts.off_since_ns, why)


class IrqsOff:
    """``with cpu.irqs_off(path):`` around a critical section; inside another one it changes nothing (irqsave)."""

    __slots__ = ("_cpu", "_path", "_were_on")

    def __init__(self, cpu: Cpu, path: str) -> None:
        self._cpu = cpu
        self._path = path
        self._were_on = True

    def __enter__(self) -> None:
        self._were_on = self._cpu.interrupts.enabled
        if self._were_on:
            self._cpu.local_irq_disable(self._path)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # A thread abandoned in the middle of the section (the machine has stopped) takes no more interrupts.
        if kind is not GeneratorExit and self._were_on:
            self._cpu.local_irq_enable()


class ReadSection:
    """``with cpu.rcu_read_lock():`` around the use of what a writer may free."""

    __slots__ = ("_cpu",)

    def __init__(self, cpu: Cpu) -> None:
        self._cpu = cpu

    def __enter__(self) -> None:
        self._cpu.enter_section()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # As with irqs: what is abandoned because the machine has stopped says nothing any more.
        if kind is not GeneratorExit:
            self._cpu.leave_section()


class Instruction:
    """``with cpu.instruction():`` around what the hardware does at one go: an interrupt comes before it or after it.

    A walker that an IPI finds halfway would otherwise go on with a page table that the IPI's sender then frees.
    """

    __slots__ = ("_cpu", "_were_on")

    def __init__(self, cpu: Cpu) -> None:
        self._cpu = cpu
        self._were_on = True

    def __enter__(self) -> None:
        interrupts = self._cpu.interrupts
        self._were_on = interrupts.enabled
        if self._were_on:
            interrupts.disable(self._cpu.clock_ns, "one instruction")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not GeneratorExit and self._were_on:
            self._cpu.take_pending()
