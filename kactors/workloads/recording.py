"""Replay of a perf recording: each thread does what it was recorded doing, under whatever policy and machine.

More workers than recorded threads repeat these in turn, in the same mm; each repetition has its own copies of the
areas that it maps and of those that existed before. The simulated mm places them itself, top down, so that they merge
as they would.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from kactors.engine.errors import UsageError
from kactors.recordings import Recording, RecordingError, read_recording
from kactors.recordings.steps import PROT_READ, PROT_WRITE, Brk, Fault, Madvise, Mmap, Mprotect, Munmap, Step
from kactors.syscalls import UserThread
from kactors.workloads.base import Workload
from kactors.workloads.options import Options
from protocols.vma import VmaKind

MADV_DONTNEED, MADV_FREE, MADV_HUGEPAGE = 4, 8, 14


class ReplayOptions(Options):
    """Which recording, which process of it, and what tracing cost per event (by default estimated from the file)."""

    file: str
    pid: Annotated[int, Field(ge=0)] | None = None
    tracing_ns: Annotated[int, Field(ge=0)] | None = None


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


class Places:
    """Where recorded ranges lie in the simulated address space."""

    def __init__(self, shared: Places | None = None) -> None:
        self._shared = shared
        self._starts: list[int] = []
        self._ranges: list[tuple[int, int, int]] = []

    def add(self, start: int, end: int, simulated: int) -> None:
        """A recorded range now lies at ``simulated``; whatever was said of its addresses before is forgotten."""
        self.remove(start, end)
        place = bisect_right(self._starts, start)
        self._starts.insert(place, start)
        self._ranges.insert(place, (start, end, simulated))

    def remove(self, start: int, end: int) -> None:
        """Forget [start, end)."""
        kept: list[tuple[int, int, int]] = []
        for low, high, simulated in self._ranges:
            if high <= start or low >= end:
                kept.append((low, high, simulated))
                continue
            if low < start:
                kept.append((low, start, simulated))
            if high > end:
                kept.append((end, high, simulated + end - low))
        self._ranges = kept
        self._starts = [low for low, _, _ in kept]

    def find(self, address: int) -> int | None:
        """Return the simulated address, from one's own ranges first; None when nobody has mapped it."""
        place = bisect_right(self._starts, address) - 1
        if place >= 0:
            start, end, simulated = self._ranges[place]
            if address < end:
                return simulated + address - start
        return self._shared.find(address) if self._shared is not None else None

    def pieces(self, start: int, end: int) -> list[tuple[int, int]]:
        """Return the parts of [start, end) that are mapped, as (simulated address, length), from own ranges first."""
        own = [
            (simulated + max(low, start) - low, min(high, end) - max(low, start))
            for low, high, simulated in self._ranges
            if low < end and high > start
        ]
        if own or self._shared is None:
            return own
        return self._shared.pieces(start, end)

    def release(self, start: int, end: int) -> None:
        """Forget a range that has been unmapped, where it was found."""
        if any(low < end and high > start for low, high, _ in self._ranges) or self._shared is None:
            self.remove(start, end)
        else:
            self._shared.release(start, end)


class Replay(Workload):
    """A recording as a workload; its unit is one recorded step (a fault or a call)."""

    name: ClassVar[str] = "recording"
    unit: ClassVar[str] = "steps"
    options_type = ReplayOptions

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self._threads = [thread for thread in recording.threads if thread.steps]
        self._shared: list[Places] = []
        self.steps = self.skipped_steps = 0
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

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Map, for each repetition, the areas that existed before the recording began.

        Each gets one page more, which is touched: an area that has a history has an anon_vma.
        """
        page = thread.page_size
        for _ in range(-(-workers // len(self._threads))):
            places = Places()
            for area in self.recording.areas:
                kind = VmaKind.FILE if area.file else VmaKind.ANON
                length = -(-(area.end - area.start) // page) * page
                simulated = await thread.mmap(length + page, kind=kind)
                await thread.touch(simulated + length)
                places.add(area.start, area.end, simulated)
            self._shared.append(places)

    async def work(self, thread: UserThread) -> None:
        """Do what the recorded thread did."""
        repetition, which = divmod(thread.number - 1, len(self._threads))
        places = Places(self._shared[repetition])
        heap_end: int | None = None
        for step in self._threads[which].steps:
            await thread.compute(step.user_ns)
            self.steps += 1
            if isinstance(step, Brk):
                await self._brk(thread, step, heap_end, places)
                heap_end = step.address
            elif not await _do(thread, step, places):
                self.skipped_steps += 1
                continue
            thread.record_done()

    def notes(self) -> list[str]:
        """Tell what of the file was not used."""
        report = self.recording.report
        notes = [f"process {self.recording.pid} ({self.recording.comm}), {len(self._threads)} threads with steps"]
        if report.skipped:
            notes.append(f"{report.skipped} of {report.lines} lines are unreadable and were skipped")
        if self.skipped_steps:
            share = f"{self.skipped_steps} of {self.steps} steps ({100 * self.skipped_steps / self.steps:.1f} %)"
            why = "threads are replayed without the waits between them, so some come too early"
            notes.append(f"{share} found their memory not mapped or not accessible and were skipped: {why}")
        if self.recording.machine_facts.collapses:
            hint = "here it runs with --set khugepaged.scan_sleep_millisecs=10"
            notes.append(f"khugepaged made {self.recording.machine_facts.collapses} collapses meanwhile; {hint}")
        return notes

    async def _brk(self, thread: UserThread, step: Brk, heap_end: int | None, places: Places) -> None:
        """Grow or shrink the heap; the first one only tells where it ends."""
        if heap_end is None or step.address == heap_end:
            return
        if step.address > heap_end:
            places.add(heap_end, step.address, await thread.mmap(step.address - heap_end))
        else:
            await _unmap(thread, step.address, heap_end, places)


async def _do(thread: UserThread, step: Step, places: Places) -> bool:
    """Do one step; False when nobody has mapped what it refers to."""
    match step:
        case Fault():
            address = places.find(step.address)
            return address is not None and await thread.touch(address, write=step.write)
        case Mmap():
            kind = VmaKind.FILE if step.file else VmaKind.ANON
            readable, writable = bool(step.prot & PROT_READ), bool(step.prot & PROT_WRITE)
            mapped = await thread.mmap(step.length, readable=readable, writable=writable, kind=kind)
            places.add(step.address, step.address + step.length, mapped)
            return True
        case Munmap():
            return await _unmap(thread, step.address, step.address + step.length, places)
        case Mprotect():
            pieces = places.pieces(step.address, step.address + step.length)
            for start, length in pieces:
                readable, writable = bool(step.prot & PROT_READ), bool(step.prot & PROT_WRITE)
                await thread.mprotect(start, length, readable=readable, writable=writable)
            return bool(pieces)
        case Madvise():
            return await _advise(thread, step, places)
    return False


async def _unmap(thread: UserThread, start: int, end: int, places: Places) -> bool:
    pieces = places.pieces(start, end)
    places.release(start, end)
    for address, length in pieces:
        await thread.munmap(address, length)
    return bool(pieces)


async def _advise(thread: UserThread, step: Madvise, places: Places) -> bool:
    pieces = places.pieces(step.address, step.address + step.length)
    for start, length in pieces:
        if step.advice in (MADV_DONTNEED, MADV_FREE):
            await thread.madvise_dontneed(start, length)
        elif step.advice == MADV_HUGEPAGE:
            await thread.madvise_hugepage(start, length)
    return bool(pieces)
