"""The scheduler of one CPU: its threads, run queue, time slices, sleeping and waking."""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, cast

from kactors.engine.client import Process
from kactors.engine.engine import Engine
from kactors.engine.event import Event
from kactors.execution import NOT_WAITING, Directory
from kactors.fault_context import ThreadKilled
from kactors.kernel.accounting import Spent, forget
from kactors.kernel.cpu_parts.interrupts import Interrupts
from kactors.run_queue import RunQueue
from kactors.thread import IDLE, Thread
from protocols.base import Message
from protocols.mmap_sem import GIVE_UP_ON_READERS, OWNER_RUNS, OWNER_SLEEPS, STOP_SPINNING, RspinOver
from protocols.scheduling import (
    DISPATCH,
    RESUME,
    TICK,
    Dispatch,
    FutexWake,
    Granted,
    Retry,
    SchedSwitch,
    StartThread,
    Tick,
)
from protocols.tlb import MmJoined
from protocols.tracepoints import MightSleep

LONG_COMPUTE_NS = 20_000
"""A computation this long can be preempted in the middle; a shorter one only at its end."""

RSPIN_ROUNDS = 16
"""rwsem_optimistic_spin: a writer that spins on readers looks at the clock once in so many rounds."""

SLEEP, YIELD = "sleep", "yield"


class Scheduler(RunQueue):
    """Runs the threads of one CPU.

    Attributes:
        interrupts: when this CPU can take an IPI.
    """

    def __init__(self, engine: Engine, name: str, cpu_id: int, directory: Directory) -> None:
        super().__init__(engine, name, cpu_id, directory)
        self.interrupts = Interrupts()
        self._idle_since_ns = 0
        self._only_switches = False
        self._awake_at_ns = -1
        self._waking = False
        self._tick_armed = False
        self._need_resched = False
        self._slice_ends_ns = 0

    def schedule_handlers(self) -> dict[type[Message], Callable[[Event], None]]:
        """Return the handlers of wake-ups, timers and thread starts."""
        return {
            Granted: self._woken,
            FutexWake: self._woken,
            Retry: self._woken,
            RspinOver: self._rspin_over,
            Tick: self._tick,
            Dispatch: self._dispatch,
            MmJoined: self._joined,
            StartThread: self._start,
        }

    # --- threads -----------------------------------------------------------------------------------------------------

    def processes(self) -> list[Process]:
        """Return the threads that have started and not ended."""
        return [thread for thread in self.threads.values() if thread.coroutine is not None]

    def start_thread(self, number: int, cpu: Scheduler, mm_users: int) -> None:
        """clone: start another thread of the process on its CPU; from now on the process has ``mm_users`` threads."""
        self.learn_users(self.directory.mm.number, mm_users)
        self.say(cpu, StartThread(thread=number, mm_users=mm_users))

    def fork(self, number: int, cpu: Scheduler) -> None:
        """fork: start the one thread of another process on its CPU."""
        self.say(cpu, StartThread(thread=number, mm_users=1))

    def _start(self, event: Event) -> None:
        message = cast(StartThread, event[4])
        thread = self.threads[message.thread + 1]
        thread.mm_users = message.mm_users
        self.learn_users(thread.mm.number, message.mm_users)
        self.start(thread, event[0])

    def start(self, thread: Thread, at_ns: int) -> None:
        """Let a thread that is known begin its life."""
        thread.coroutine = (thread.here or self).live(thread)
        self.tell_runs(thread, at_ns)
        self.make_runnable(thread, at_ns)

    async def live(self, thread: Thread) -> None:
        """A thread's whole life; what it has said ahead of virtual time leaves before it ends."""
        try:
            await thread.program()
        except ThreadKilled:
            await self.let_go()
        if thread.at_exit is not None:
            await thread.at_exit()
        await self.sync()

    def _resume(self, event: Event) -> None:
        """Virtual time has reached the current thread: let it compute until it next waits."""
        busy_ns = self.interrupts.busy_until_ns
        self.arrived(max(busy_ns, event[0]))
        self._step(event)

    def _step(self, value: Any) -> None:
        thread = cast(Thread, self.current)
        try:
            command = cast(Coroutine[Any, Any, None], thread.coroutine).send(value)
        except StopIteration:
            thread.coroutine = None
            self.tell_ends(thread)
            self._switch()
            return
        if command is not None:
            self._leave(thread, command)

    def _leave(self, thread: Thread, command: str) -> None:
        """The thread gives up the CPU: to sleep, or to let another run."""
        if command is SLEEP:
            thread.asleep, thread.slept_at_ns = True, self.clock_ns
            if thread.holds_write:
                self.say(self.directory.mm, OWNER_SLEEPS, thread.tag)
        else:
            self._run_queue.append(thread)
        self._switch(thread)

    def _switch(self, before: Thread | None = None) -> None:
        """Run the next thread, or idle; ``before`` has run here until now."""
        self._need_resched = False
        self._run_callbacks()
        if not self._run_queue:
            self.newidle_balance()
            self._pay_switch(before)
            self.current = IDLE
            self._idle_since_ns = self.clock_ns
            self.enter_lazy_tlb()
            self.tell_siblings(busy=False)
            return
        thread = self._run_queue.popleft()
        self.current = thread
        self._pay_switch(before)
        self._slice_ends_ns = self.clock_ns + self.machine.slice_ns
        self._arm_tick()
        if thread.mm is None or self.switch_mm(thread.mm, thread.tag):
            self._enter(thread)
        else:
            self._begin_wait(Spent.SWITCH)

    def _pay_switch(self, before: Thread | None) -> None:
        # Not so where callbacks have been run first: what those say stays said.
        self._only_switches = before is not None and before.slept_at_ns == self.clock_ns
        self.cold = True
        switch_ns = self.jitter(self.machine.switch_ns)
        self.clock_ns += switch_ns
        self.spent[Spent.SWITCH] += switch_ns
        if before is not None and before.asleep:
            self.tell_sleeps(before)

    def _joined(self, event: Event) -> None:
        self.joined(event)
        busy_ns = self.interrupts.busy_until_ns
        self.arrived(max(busy_ns, event[0]))
        self._end_wait()
        self._enter(cast(Thread, self.current))

    def _enter(self, thread: Thread) -> None:
        if self.engine.listens(SchedSwitch):
            self.note(SchedSwitch(thread=thread.tag))
        if thread.holds_write:
            self.say(self.directory.mm, OWNER_RUNS, thread.tag)
        value, thread.resume_with = thread.resume_with, None
        thread.slept_at_ns = -1
        self._step(value)

    def is_going_idle(self, thread: Thread, at_ns: int) -> bool:
        """Whether this CPU is still switching from the thread to its idle task, and does nothing else by then."""
        switches = thread.sleeps_from is not None and thread.sleeps_from[0] > at_ns
        # An interrupt and a theft make the way longer; a wake-up for something else is under way where it wakes up.
        undisturbed = self._idle_since_ns == self.clock_ns and not (self._waking or self._run_queue)
        return switches and undisturbed and self._only_switches and self.current is IDLE

    def stay_awake(self, thread: Thread, event: Event) -> None:
        """ttwu_runnable: the thread is still there; what the switch to the idle task had yet to do and say is void."""
        if thread.sleeps_from is not None:
            self.engine.cancel(thread.sleeps_from)
            thread.sleeps_from = None
        # It has got as far as to where it gave up its CPU, if no further.
        at_ns = max(event[0], thread.slept_at_ns)
        self.spent[Spent.SWITCH] -= self.clock_ns - at_ns
        self.take_back()
        self.stay_in_mm(thread.mm)
        self.arrived(at_ns)
        self.cold = False
        self.current = thread
        thread.asleep, thread.servers, thread.resume_with = False, (), event
        self._enter(thread)

    def make_runnable(self, thread: Thread, at_ns: int) -> None:
        """Queue a thread of this CPU. An idle CPU leaves its idle state first, a busy one gets a tick."""
        self._run_queue.append(thread)
        if self.current is not IDLE:
            self._arm_tick()
        elif not self._waking:
            self._waking = True
            self.engine.post(self.leave_idle(at_ns), self, self, DISPATCH)

    def leave_idle(self, at_ns: int) -> int:
        """Return when the CPU, interrupted at ``at_ns``, is out of its idle state; it leaves it once, however often."""
        machine, busy_ns = self.machine, self.interrupts.busy_until_ns
        if at_ns < self._idle_since_ns:
            return max(self._idle_since_ns, busy_ns)  # still on its way there
        if self._awake_at_ns < self._idle_since_ns:
            halted = at_ns - self._idle_since_ns >= machine.idle_poll_ns
            exit_ns = self.jitter(machine.idle_exit_ns if halted else machine.idle_poll_exit_ns)
            self._awake_at_ns = max(at_ns, busy_ns, self._idle_since_ns) + exit_ns
        return max(at_ns, busy_ns, self._awake_at_ns)

    def _dispatch(self, event: Event) -> None:
        """Leave the idle state; the time counts as LOCK_SLEEP where one of the woken slept on a lock."""
        self._waking = False
        # A theft on the way to idle makes that way longer, also where the wake-up was on its way already.
        self.arrived(max(event[0], self.interrupts.busy_until_ns, self._idle_since_ns))
        self._end_idle(self.clock_ns)
        self.tell_siblings(busy=True)
        self._switch()

    def _end_idle(self, at_ns: int) -> None:
        """Account for the idle time until ``at_ns``."""
        if self.directory.sched_domain is not None:
            self.was_idle_for(at_ns - self._idle_since_ns)
        self.spent[self._idle_kind()] += at_ns - self._idle_since_ns
        self._idle_since_ns = at_ns

    def _idle_kind(self) -> int:
        slept = any(thread.slept_at_ns >= 0 for thread in self.threads.values() if thread.coroutine is not None)
        return Spent.LOCK_SLEEP if slept else Spent.IDLE

    def _woken(self, event: Event) -> None:
        thread = self.threads[event[3]]
        if not thread.asleep:
            thread.early_wake = event
        elif not self.place(thread, event):
            self.tell_wakes(thread, event[0])
            self.wake(thread, event)

    def wake(self, thread: Thread, event: Event) -> None:
        """A sleeping thread of this CPU goes on."""
        thread.asleep = False
        thread.servers = ()
        thread.resume_with = event
        self.make_runnable(thread, event[0])

    @types.coroutine
    def sleep(self, server: Any = None) -> Generator[Any, Event, Message]:
        """Give up the CPU until a wake-up arrives for this thread, the mm's or another ``server``'s; return it."""
        thread = cast(Thread, self.current)
        if self.engine.listens(MightSleep):
            self.note(MightSleep(why=type(thread.request).__name__))
        event, thread.early_wake = thread.early_wake, None
        if event is None:
            thread.servers, thread.since_ns = (server or self.directory.mm,), self.clock_ns
            mode = self.mode
            event = yield SLEEP
            self.mode = mode
        return event[4]

    # --- preemption --------------------------------------------------------------------------------------------------

    def _arm_tick(self) -> None:
        if self._run_queue and not self._tick_armed:
            self._tick_armed = True
            # Where threads move, each tick may find an idle CPU for one that waits here.
            moves = self.machine.tick_ns and self.directory.sched_domain is not None
            from_ns = self.engine.now_ns + 1 if moves else max(self._slice_ends_ns, self.engine.now_ns)
            self.engine.post(self.tick_after(from_ns), self, self, TICK)

    def _tick(self, event: Event) -> None:
        """If the slice is over, a spinner gives up, a long computation is cut, anything else yields when it is done."""
        self._tick_armed = False
        if self.current is IDLE or not self._run_queue:
            return
        self.kick_balancer(event[0])
        if event[0] < self._slice_ends_ns:
            self._arm_tick()
            return
        thread = cast(Thread, self.current)
        now_ns = max(event[0], self.interrupts.busy_until_ns)
        if thread.stops_at is not None and thread.stops_at[0] > now_ns:
            self._preempt(thread, thread.stops_at, now_ns)
            return
        self._need_resched = True
        if thread.spins:
            # Not before the request to which it belongs has left.
            self.say_at(max(now_ns, self.clock_ns), self.directory.mm, STOP_SPINNING, thread.tag)

    def _rspin_over(self, event: Event) -> None:
        """A spinner looks at the clock once in so many rounds, and in none while this CPU serves an interrupt."""
        round_ns = self.machine.rwsem_spin_round_ns
        late_ns = self.engine.choices.pick("rwsem.spin", RSPIN_ROUNDS) * round_ns if round_ns else 0
        at_ns = max(event[0], self.interrupts.busy_until_ns) + late_ns
        self.say_at(at_ns, self.directory.mm, GIVE_UP_ON_READERS, event[3])

    def _preempt(self, thread: Thread, stops_at: Event, at_ns: int) -> None:
        """Cut a computation short; the thread goes on with what is left of it."""
        left_ns = stops_at[0] - at_ns
        left_alone_ns = left_ns * 100 // (100 + self.slowdown_percent)
        self.withdraw(stops_at)
        thread.stops_at = None
        self.spent[Spent.USER] -= left_ns
        self.arrived(at_ns)
        thread.resume_with = left_alone_ns
        self._leave(thread, YIELD)

    async def compute(self, ns: int) -> None:
        """Run user code for ``ns`` of CPU time, however often it is interrupted or preempted."""
        self.mode = Spent.USER
        if self.killed or self._need_resched or self._callbacks:
            await self.return_to_user()
        if max(ns, self.clock_ns - self.engine.now_ns) > LONG_COMPUTE_NS:
            # What precedes a long computation is over when that is cut; a row of short ones cannot run for ever.
            await self.sync()
        while ns > LONG_COMPUTE_NS:
            ns = await self.compute_preemptibly(ns)
        self.mode = Spent.USER
        self.spend(ns)

    @types.coroutine
    def compute_preemptibly(self, ns: int) -> Generator[Any, Any, int]:
        """Compute for ``ns``, unless the thread is preempted before; return what is left."""
        thread = cast(Thread, self.current)
        self.mode = Spent.USER
        self.spend(ns)
        self.say(self.me, RESUME, thread.tag)
        thread.stops_at = self._outbox[-1]
        left = yield
        thread.stops_at = None
        return left if isinstance(left, int) else 0

    async def sync(self) -> None:
        """Wait until virtual time has caught up, so that what others did until this instant has arrived."""
        if self.clock_ns > self.engine.now_ns or self.engine.untimed:
            await self.ask(self.me, RESUME)

    async def return_to_user(self) -> None:
        """The way back from the kernel: end when killed, yield when the slice is over."""
        self.mode = Spent.USER
        if self.killed:
            raise ThreadKilled
        if self._callbacks:
            self._run_callbacks(back=True)
        if self._need_resched and self._run_queue:
            await self._yield()
            self.mode = Spent.USER

    @types.coroutine
    def _yield(self) -> Generator[Any, Any, None]:
        yield YIELD

    # --- reports ------------------------------------------------------------------------------------------------------

    def finish(self, at_ns: int) -> None:
        """Account for the time up to the end of the run, be it in the middle of a wait or of a computation."""
        self.spent[:] = self.spent_until(at_ns)
        self._waits_as = NOT_WAITING
        self.arrived(at_ns)
        self._idle_since_ns = self.interrupts.busy_until_ns = at_ns

    def spent_until(self, at_ns: int) -> list[int]:
        """Return ns by Spent up to now, an instant at which the run rests or has ended; it changes nothing.

        A wait or an idle time that is not over counts as far as it has come; what was computed ahead is taken back.
        """
        spent, kind, busy_ns = self.spent.copy(), self.mode, self.interrupts.busy_until_ns
        if self.current is IDLE:
            end_ns = max(at_ns, busy_ns, self._idle_since_ns)
            kind = self._idle_kind()
            spent[kind] += end_ns - self._idle_since_ns
        elif self._waits_as != NOT_WAITING:
            end_ns = max(at_ns, busy_ns, self.clock_ns)
            spent[self._waits_as] += end_ns - self.stolen_ns - self._waits_from_ns
        else:
            end_ns = max(at_ns, busy_ns, self.clock_ns)
        stolen_ns = max(self.interrupts.stolen_until_ns - max(at_ns, self.interrupts.stolen_from_ns), 0)
        forget(spent, kind, end_ns - at_ns, max(busy_ns - at_ns - stolen_ns, 0), stolen_ns)
        return spent
