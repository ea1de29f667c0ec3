"""Replay of a perf recording: each thread does what it was recorded doing, under whatever policy and machine.

More workers than recorded threads repeat these in turn, in the same mm; each repetition has its own copies of the
areas that it maps and of those that existed before. The simulated mm places them itself, top down, so that they merge
as they would; those that hold a huge page stay where they were, so that they hold as many.

A thread does a step when it has computed as long as it had, and when the steps of other threads that it depends on are
done (`kactors.recordings.plan`): until then it is off its CPU.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from kactors.engine.errors import UsageError
from kactors.options import Nanoseconds
from kactors.recordings import Recording, RecordingError, read_recording
from kactors.recordings.plan import Done, Piece, PlannedStep, plan
from kactors.recordings.steps import PROT_READ, PROT_WRITE, Brk, Fault, Madvise, Mmap, Mprotect, Munmap, Step
from kactors.recordings.threads import RecordedThread
from kactors.syscalls import UserThread
from kactors.workloads.base import Workload
from kactors.workloads.options import Options
from protocols.machine import Machine
from protocols.vma import VmaKind

UNMAPPED = -1
MADV_DONTNEED, MADV_FREE, MADV_HUGEPAGE = 4, 8, 14


class ReplayOptions(Options):
    """Which recording, which process of it, and what tracing cost per event (by default estimated from the file)."""

    file: str
    pid: Annotated[int, Field(ge=0, le=1 << 22)] | None = None
    tracing_ns: Nanoseconds | None = None


@cache
def open_recording(file: str, pid: int | None, tracing_ns: int | None) -> Recording:
    """Read a recording once a process.

    Raises:
        UsageError: it cannot be read, or holds no such process.
    """
    try:
        return read_recording(Path(file), pid=pid, tracing_ns=tracing_ns)
    except RecordingError as error:
        raise UsageError(str(error)) from error


class _Repetition:
    """One run through all recorded threads: where its mappings lie, how far its threads are, who waits for them."""

    def __init__(self, threads: int, *, at_recorded_places: bool) -> None:
        self.bases: dict[int, int] = {}
        self.done = [0] * threads
        self.at_recorded_places = at_recorded_places
        self._waiting: defaultdict[int, list[tuple[int, UserThread]]] = defaultdict(list)

    async def until(self, thread: UserThread, after: Iterable[Done]) -> None:
        """Wait, off the CPU, until other threads have come so far; for those that do not run here nobody waits."""
        for other, count in after:
            while other < len(self.done) and self.done[other] < count:
                self._waiting[other].append((count, thread))
                await thread.wait()

    def has_done(self, thread: UserThread, place: int) -> None:
        """One more step of a thread: wake those who wait for it."""
        self.done[place] += 1
        waiting = self._waiting.pop(place, ())
        for count, waiter in waiting:
            if count <= self.done[place]:
                thread.wake(waiter)
            else:
                self._waiting[place].append((count, waiter))

    async def map(self, thread: UserThread, mapping: int, at: int, length: int, how: Mapping[str, Any]) -> int:
        """Map what was recorded at ``at``; return where."""
        found = UNMAPPED
        if self.at_recorded_places and length >= thread.cpu.machine.pmd_size:
            found = await thread.mmap(length, address=at, **how)
        self.bases[mapping] = found if found >= 0 else await thread.mmap(length, **how)
        return self.bases[mapping]

    def ranges(self, pieces: Iterable[Piece]) -> list[tuple[int, int]]:
        """Where pieces lie, as (address, length); what is not mapped here has no place."""
        bases = self.bases
        return [(bases[piece.mapping] + piece.offset, piece.length) for piece in pieces if piece.mapping in bases]


class Replay(Workload):
    """A recording as a workload; its unit is one recorded step (a fault or a call).

    Attributes:
        all_busy: no thread that was recorded to the end has run out of steps yet.
    """

    name: ClassVar[str] = "recording"
    unit: ClassVar[str] = "steps"
    options_type = ReplayOptions

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self._threads = [thread for thread in recording.threads if thread.steps]
        self._plan = plan(self._threads, recording.areas)
        self._repetitions: list[_Repetition] = []
        self.steps = self.skipped_steps = 0
        self.all_busy = True
        if not self._threads:
            raise UsageError(f"{recording.source}: process {recording.pid} does nothing that could be replayed")

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Replay:
        """Read the recording that the option ``file`` names."""
        parsed = ReplayOptions.parse(cls.name, options)
        return cls(open_recording(parsed.file, parsed.pid, parsed.tracing_ns))

    def workers(self, cpus: int) -> int:
        """Return the number of recorded threads that did anything."""
        del cpus
        return len(self._threads)

    def home(self, number: int, machine: Machine) -> int:
        """Return where a thread begins, on a machine with as many CPUs as the recorded one.

        The recorded threads had long been spread over the CPUs when the recording began. So those that compute most
        are given out first, each to the CPU that has least to do.
        """
        if machine.cpus != len(self.recording.cpus) or number > len(self._threads):
            return super().home(number, machine)
        load_ns = [0] * machine.cpus
        for place in sorted(range(len(self._threads)), key=lambda place: -_user_ns(self._threads[place])):
            cpu = load_ns.index(min(load_ns))
            if place == number - 1:
                return cpu
            load_ns[cpu] += _user_ns(self._threads[place])
        raise AssertionError(f"no thread {number}")

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Map, for each repetition, the areas that existed before the recording began, the highest first.

        Each gets one page more, which is touched: an area that has a history has an anon_vma.
        """
        page, recorded = thread.page_size, len(self._threads)
        for first in range(0, workers, recorded):
            repetition = _Repetition(min(recorded, workers - first), at_recorded_places=not first)
            for mapping, area in reversed(list(enumerate(self.recording.areas))):
                kind = VmaKind.FILE if area.file else VmaKind.ANON
                length = -(-(area.end - area.start) // page) * page
                base = await repetition.map(thread, mapping, area.start, length + page, {"kind": kind})
                await thread.touch(base + length)
            if self.recording.measured.joins:
                await thread.touch(await thread.mmap(page))  # what is mapped next comes below it, and joins it
            self._repetitions.append(repetition)

    async def work(self, thread: UserThread) -> None:
        """Do what the recorded thread did."""
        which, place = divmod(thread.number - 1, len(self._threads))
        repetition = self._repetitions[which]
        before: Step | None = None
        for planned in self._plan[place]:
            step = planned.step
            await thread.compute(max(step.user_ns - _kernel_ns(before, step, thread.cpu.machine), 0))
            if planned.slept_ns:
                await thread.sleep(planned.slept_ns)
            await repetition.until(thread, planned.after)
            self.steps += 1
            if await _do(thread, planned, repetition):
                thread.record_done()
            else:
                self.skipped_steps += 1
            repetition.has_done(thread, place)
            before = step
        self.all_busy &= not self._was_busy_to_the_end(place)

    def _was_busy_to_the_end(self, place: int) -> bool:
        """Whether the recording ended before the thread did: it shows a step in its last hundredth."""
        last_ns = max(thread.moments[-1].ends_ns for thread in self._threads)
        return last_ns - self._threads[place].moments[-1].ends_ns <= self.recording.span_ns // 100

    def notes(self) -> list[str]:
        """Tell what of the file was not used."""
        report = self.recording.report
        notes = [f"process {self.recording.pid} ({self.recording.comm}), {len(self._threads)} threads with steps"]
        if report.skipped:
            notes.append(f"{report.skipped} of {report.lines} lines are unreadable and were skipped")
        if self.skipped_steps:
            share = f"{self.skipped_steps} of {self.steps} steps ({100 * self.skipped_steps / self.steps:.1f} %)"
            notes.append(f"{share} found their memory not mapped or not accessible and were skipped")
        if self.recording.machine_facts.collapses:
            hint = "here it runs with --set khugepaged.scan_sleep_millisecs=10"
            notes.append(f"khugepaged made {self.recording.machine_facts.collapses} collapses meanwhile; {hint}")
        return notes


def _user_ns(thread: RecordedThread) -> int:
    return sum(step.user_ns for step in thread.steps)


def _kernel_ns(before: Step | None, step: Step, machine: Machine) -> int:
    """What of the user time before a step is the kernel's, which the simulation adds itself.

    Between the last tracepoint of a fault and the next one lie the page table's entry and the return, between two calls
    the way out and in.
    """
    after_fault_ns = machine.clear_page_ns + machine.rmap_lru_ns + machine.fault_exit_ns
    way_out_ns = after_fault_ns if isinstance(before, Fault) else machine.syscall_ns // 2
    return (way_out_ns if before is not None else 0) + (0 if isinstance(step, Fault) else machine.syscall_ns // 2)


async def _do(thread: UserThread, planned: PlannedStep, repetition: _Repetition) -> bool:
    """Do one step; False when what it refers to is not mapped, or not accessible."""
    step = planned.step
    if planned.makes is not None:
        await _map(thread, planned, planned.makes, repetition)
        return True
    ranges = repetition.ranges(planned.pieces)
    match step:
        case Fault():
            return bool(ranges) and await thread.touch(ranges[0][0], write=step.write)
        case Munmap() | Brk():
            for start, length in ranges:
                await thread.munmap(start, length)
        case Mprotect():
            readable, writable = bool(step.prot & PROT_READ), bool(step.prot & PROT_WRITE)
            for start, length in ranges:
                await thread.mprotect(start, length, readable=readable, writable=writable)
        case Madvise():
            await _advise(thread, step, ranges)
    return bool(ranges) or isinstance(step, Brk)


async def _map(thread: UserThread, planned: PlannedStep, made: Piece, repetition: _Repetition) -> None:
    step = planned.step
    if isinstance(step, Mmap):
        how: dict[str, Any] = {
            "kind": VmaKind.FILE if step.file else VmaKind.ANON,
            "readable": bool(step.prot & PROT_READ),
            "writable": bool(step.prot & PROT_WRITE),
        }
        instead_of = repetition.ranges(planned.pieces)
        if instead_of and instead_of[0][1] == made.length:
            address = instead_of[0][0]
            repetition.bases[made.mapping] = await thread.mmap(step.length, address=address, replace=True, **how)
        else:
            await repetition.map(thread, made.mapping, step.address, step.length, how)
    elif isinstance(step, Brk):
        await repetition.map(thread, made.mapping, step.address - made.length, made.length, {})


async def _advise(thread: UserThread, step: Madvise, ranges: Iterable[tuple[int, int]]) -> None:
    for start, length in ranges:
        if step.advice in (MADV_DONTNEED, MADV_FREE):
            await thread.madvise_dontneed(start, length)
        elif step.advice == MADV_HUGEPAGE:
            await thread.madvise_hugepage(start, length)
