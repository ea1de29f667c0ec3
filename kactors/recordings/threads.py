"""From the events of a process to what each of its threads did.

Calls are paired by thread. A call is kept where its enter stands: faults that it takes itself come after it.

- An exit without an enter (the recording began inside the call) is no step.
- An enter without an exit (the recording ended inside it, or the exit was lost) is one if the enter tells enough:
  munmap, mprotect and madvise. What mmap and brk returned is not known: they are dropped.
- A call that failed changed nothing: dropped and counted. The user time before a dropped call goes to the next step.
"""

from __future__ import annotations

from dataclasses import dataclass

from kactors.recordings.event_names import ENTER, EXIT, LOCK_ACQUIRED, LOCK_RELEASED, LOCK_START, Role, role_in_detail
from kactors.recordings.fields import call_fields, call_result, fault_fields, signed_32
from kactors.recordings.perf_script import PerfEvent
from kactors.recordings.steps import Brk, Fault, Madvise, Mmap, Mprotect, Munmap, Step
from kactors.recordings.user_time import UserClock

_NEEDED = {
    "mmap": ("addr", "len", "prot", "flags", "fd"),
    "munmap": ("addr", "len"),
    "mprotect": ("start", "len", "prot"),
    "madvise": ("start", "len_in", "behavior"),
    "brk": ("brk",),
}


@dataclass(frozen=True, slots=True)
class Moment:
    """When a step began and ended (a fault shows no end), in ns since boot; `away`: the thread was off its CPU before.

    `slept_ns`: for so long, if it was a timer that woke it: just before it came back no other thread of its process,
    which might have done so, was seen on a CPU.

    A wait for mmap_lock is no absence: it belongs to the step in which it was. Nor is one during which the CPU had
    other work all the time: the thread had been preempted, and waited for nobody.
    """

    begins_ns: int
    ends_ns: int
    away: bool
    slept_ns: int = 0


@dataclass(frozen=True, slots=True)
class RecordedThread:
    """One thread: its last name, its steps, and when it was first seen, in ns after the recording's first event.

    `moments` are the steps' own, one each.
    """

    tid: int
    comm: str
    steps: tuple[Step, ...]
    start_ns: int
    moments: tuple[Moment, ...]


@dataclass(frozen=True, slots=True)
class TimedStep:
    """A step and when it takes effect on the address space: mmap and brk at their exit, all else when it begins."""

    at_ns: int
    step: Step


_IDLE_GAP_NS = 500_000
"""A CPU on which nothing has happened for so long has been idle, where it does not say so itself."""
_IDLE_TID = 0
_WAKER_SEEN_NS = 200_000
"""Who wakes a thread runs within so long before it is back."""


@dataclass(slots=True)
class _OpenCall:
    name: str
    fields: dict[str, int]
    user_ns: int
    at_ns: int
    away: bool
    slept_ns: int
    slot: int


class ProcessHistory:
    """Hears all events of a recording in the order of time and writes down what the threads `tids` do.

    `changes` are the steps of all threads, not in order; `failed_calls` counts the calls that are no steps because they
    failed; `bad_lines` are the lines whose events lack a field that is needed.
    """

    def __init__(self, tids: frozenset[int], tracing_ns: int) -> None:
        self._threads = {tid: _Thread(tid, tracing_ns, self) for tid in tids}
        self._on_cpu: dict[int, _Thread | None] = {}
        self._last_ns: dict[int, int] = {}  # CPU -> its last event
        self._idle_ns: dict[int, int] = {}  # CPU -> when it was last known to be idle
        self._last_of: dict[int, int] = {}  # thread -> its last event
        self.changes: list[TimedStep] = []
        self.failed_calls = 0
        self.bad_lines: list[int] = []

    def hear(self, event: PerfEvent) -> None:
        """Takes the next event, of whatever task: it may push one of the threads from its CPU."""
        thread = self._threads.get(event.tid)
        if event.tid == _IDLE_TID or event.at_ns - self._last_ns.get(event.cpu, event.at_ns) > _IDLE_GAP_NS:
            self._idle_ns[event.cpu] = event.at_ns
        there = self._on_cpu.get(event.cpu)
        if there is not thread:
            self._on_cpu[event.cpu] = thread
            if there is not None:
                there.gone(event.at_ns)
            if thread is not None:
                came_from = thread.cpu
                self._moved(thread, event)
                if came_from is not None:
                    thread.is_back(event.at_ns, self._idle_ns.get(came_from, -1), alone=self._alone(event))
                if came_from == event.cpu:
                    thread.clock.back(self._last_ns[event.cpu])
        if thread is not None:
            thread.hear(event)
            self._last_of[event.tid] = event.at_ns
        self._last_ns[event.cpu] = event.at_ns

    def _alone(self, event: PerfEvent) -> bool:
        """Whether no other thread of the process has been seen lately."""
        since_ns = event.at_ns - _WAKER_SEEN_NS
        return all(last_ns < since_ns for tid, last_ns in self._last_of.items() if tid != event.tid)

    def _moved(self, thread: _Thread, event: PerfEvent) -> None:
        old = thread.cpu
        if old is not None and old != event.cpu and self._on_cpu.get(old) is thread:
            thread.gone(event.at_ns)
            self._on_cpu[old] = None
        thread.cpu = event.cpu

    def threads(self, first_ns: int) -> tuple[RecordedThread, ...]:
        """The threads that did something, by tid. To be asked once, at the end: it ends the calls that are open."""
        return tuple(
            RecordedThread(tid, thread.comm, steps, thread.start_ns - first_ns, thread.moments())
            for tid, thread in sorted(self._threads.items())
            if (steps := thread.finished())
        )


class _Thread:
    """One thread while the recording is read."""

    def __init__(self, tid: int, tracing_ns: int, history: ProcessHistory) -> None:
        self.tid = tid
        self.comm = ""
        self.cpu: int | None = None
        self.start_ns = -1
        self.clock = UserClock(tracing_ns)
        self._history = history
        self._steps: list[Step | None] = []  # None: a call that is open or was dropped
        self._moments: list[Moment | None] = []
        self._away = False
        self._gone_ns: int | None = None
        self._slept_ns = 0
        self._call: _OpenCall | None = None
        self._carried_ns = 0

    def hear(self, event: PerfEvent) -> None:
        if self.start_ns < 0:
            self.start_ns = event.at_ns
        self.comm = event.comm
        role = role_in_detail(event.event, event.args)
        clock, at_ns = self.clock, event.at_ns
        if role is Role.FAULT:
            self._fault(event)
        elif role is Role.ENTER:
            self._enter(event)
        elif role is Role.EXIT:
            self._exit(event)
        elif role is Role.FAULT_WORK:
            clock.fault_work(at_ns, _locking(event))
        elif role is Role.INTERRUPT_ENTRY:
            clock.interrupt_entered(at_ns)
        elif role is Role.INTERRUPT_EXIT:
            clock.interrupt_left(at_ns)
        elif role is Role.SWITCH:
            self._away |= self._call is None and clock.switched(at_ns)
        else:
            clock.seen(at_ns)

    def gone(self, at_ns: int) -> None:
        """Something else is on its CPU."""
        if self._gone_ns is None and self._call is None and not self.clock.locking:
            self._gone_ns = at_ns
        self.clock.gone(at_ns)

    def is_back(self, at_ns: int, was_idle_ns: int, *, alone: bool) -> None:
        """It runs again; the CPU that it had left was idle at ``was_idle_ns``, but not since."""
        if self._gone_ns is not None and was_idle_ns >= self._gone_ns:
            self._away |= not alone
            self._slept_ns += at_ns - self._gone_ns if alone else 0
        self._gone_ns = None

    def moments(self) -> tuple[Moment, ...]:
        return tuple(moment for moment in self._moments if moment is not None)

    def finished(self) -> tuple[Step, ...]:
        self._abandon()
        return tuple(step for step in self._steps if step is not None)

    def _fault(self, event: PerfEvent) -> None:
        fields = fault_fields(event.args)
        if fields is None:
            self._history.bad_lines.append(event.line)
        if fields is None or fields.address is None:
            self.clock.seen(event.at_ns)
            return
        # In a call all the time is the kernel's.
        user_ns = self._user_ns(event.at_ns) if self._call is None else 0
        step = Fault(user_ns, fields.address, fields.write, fields.instruction)
        self._steps.append(step)
        self._moments.append(Moment(event.at_ns, event.at_ns, *self._taken_away()))
        self._history.changes.append(TimedStep(event.at_ns, step))
        self.clock.step_ended(event.at_ns, fault=True)

    def _enter(self, event: PerfEvent) -> None:
        name = event.event.removeprefix(ENTER)
        fields = call_fields(event.args)
        if "len" in fields:  # what madvise's len_in was called
            fields.setdefault("len_in", fields["len"])
        if not all(needed in fields for needed in _NEEDED[name]):
            self._history.bad_lines.append(event.line)
            self.clock.seen(event.at_ns)
            return
        if self._call is not None:
            self._abandon()
            self.clock.step_ended(event.at_ns)  # when the lost exit was is not known
        user_ns = self._user_ns(event.at_ns)
        self._call = _OpenCall(name, fields, user_ns, event.at_ns, *self._taken_away(), len(self._steps))
        self._steps.append(None)
        self._moments.append(None)

    def _exit(self, event: PerfEvent) -> None:
        call, result = self._call, call_result(event.args)
        if result is None:
            self._history.bad_lines.append(event.line)
        if call is None or result is None or call.name != event.event.removeprefix(EXIT):
            self._abandon()
        else:
            self._call = None
            self._ended(call, result, event.at_ns)
        self.clock.step_ended(event.at_ns)

    def _ended(self, call: _OpenCall, result: int, at_ns: int) -> None:
        step = None if _failed(call, result) else _step(call, result)
        if step is None:
            self._history.failed_calls += 1
            self._carry(call)
            return
        # The exit of mmap may be later than another thread's munmap of the same place, never earlier.
        effect_ns = at_ns if isinstance(step, Mmap | Brk) else call.at_ns
        self._keep(call, step, effect_ns, at_ns)

    def _abandon(self) -> None:
        """The open call, if any, will have no exit."""
        call, self._call = self._call, None
        if call is None:
            return
        step = _step(call, None)
        if step is None:
            self._carry(call)
        else:
            self._keep(call, step, call.at_ns, call.at_ns)

    def _keep(self, call: _OpenCall, step: Step, effect_ns: int, ends_ns: int) -> None:
        self._steps[call.slot] = step
        self._moments[call.slot] = Moment(call.at_ns, ends_ns, call.away, call.slept_ns)
        self._history.changes.append(TimedStep(effect_ns, step))

    def _carry(self, call: _OpenCall) -> None:
        """The call is no step: what was before it is before the next one."""
        self._carried_ns += call.user_ns
        self._away |= call.away
        self._slept_ns += call.slept_ns

    def _taken_away(self) -> tuple[bool, int]:
        away, self._away = (self._away, self._slept_ns), False
        self._slept_ns = 0
        return away

    def _user_ns(self, at_ns: int) -> int:
        carried, self._carried_ns = self._carried_ns, 0
        return self.clock.take(at_ns) + carried


def _locking(event: PerfEvent) -> bool | None:
    if event.event == LOCK_START:
        return True
    if event.event == LOCK_ACQUIRED:
        return "success=false" not in event.args
    return False if event.event == LOCK_RELEASED else None


def _failed(call: _OpenCall, result: int) -> bool:
    if call.name == "brk":  # which never says an errno: it returns the end that the heap has then
        return call.fields["brk"] not in {0, result}
    return result < 0


def _step(call: _OpenCall, result: int | None) -> Step | None:
    """The step of a call that returned `result`, None where only the result could tell what it did."""
    fields, user_ns = call.fields, call.user_ns
    match call.name:
        case "munmap":
            return Munmap(user_ns, fields["addr"], fields["len"])
        case "mprotect":
            return Mprotect(user_ns, fields["start"], fields["len"], fields["prot"])
        case "madvise":
            return Madvise(user_ns, fields["start"], fields["len_in"], fields["behavior"])
    if result is None:
        return None
    if call.name == "brk":
        return Brk(user_ns, result)
    fd = signed_32(fields["fd"])
    return Mmap(user_ns, result, fields["len"], fields["prot"], fields["flags"], fd, fields["addr"])
