"""What each recorded thread is to do so that what follows from what it followed from stays behind it.

A recorded address names different memory at different times: each mmap makes a new mapping, and a step refers to parts
of the mappings that there were. So two threads that got one place after the other depend on each other in nothing, as
registers that are renamed.

A step comes after those steps of other threads that it depends on:

- what made the mapping that it refers to, and what last changed it there (munmap, mprotect, madvise);
- if it changes something itself, what was done there since the last change;
- where its thread had been off its CPU for anything but mmap_lock or a timer (`Moment`), or begins: the last step
  of any other thread before. Why a thread was away, the recording does not tell. Whoever woke it did so before it
  was back.

All of it points back in recorded time, so no two threads wait for each other.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from kactors.recordings.areas import RecordedArea
from kactors.recordings.ranges import page_range
from kactors.recordings.steps import MAP_FIXED, Brk, Fault, Madvise, Mmap, Mprotect, Munmap, Step
from kactors.recordings.threads import RecordedThread

NOBODY = -1

Done = tuple[int, int]
"""A thread, by its place, and a number of steps that it has done."""


@dataclass(frozen=True, slots=True)
class Piece:
    """`length` bytes from `offset` on of a mapping, by its number."""

    mapping: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step and what must be done before it.

    `pieces` are the parts of mappings that it refers to, or replaces; `makes` is the mapping that it makes, as a whole.
    `slept_ns`: how long its thread sleeps before it, until a timer wakes it.
    """

    step: Step
    pieces: tuple[Piece, ...]
    makes: Piece | None
    after: tuple[Done, ...]
    slept_ns: int = 0


@dataclass(slots=True)
class _Segment:
    """A range of addresses that belongs to one mapping and has one history."""

    start: int
    end: int
    mapping: int
    offset: int
    changed: Done | None
    uses: dict[int, int] = field(default_factory=dict)

    def cut(self, start: int, end: int) -> _Segment:
        return _Segment(start, end, self.mapping, self.offset + start - self.start, self.changed, dict(self.uses))


def plan(threads: Sequence[RecordedThread], areas: Sequence[RecordedArea]) -> tuple[tuple[PlannedStep, ...], ...]:
    """Plan the steps of each thread. Mappings are numbered: first `areas`, then as they were made."""
    planner = _Planner(threads, areas)
    return planner.planned()


class _Planner:
    def __init__(self, threads: Sequence[RecordedThread], areas: Sequence[RecordedArea]) -> None:
        self._threads = threads
        self._space = _Space(areas)
        self._mappings = len(areas)
        self._heap_end: int | None = None
        self._known: list[dict[int, int]] = [{} for _ in threads]
        ends = [
            (moment.ends_ns, place, number + 1)
            for place, thread in enumerate(threads)
            for number, moment in enumerate(thread.moments)
        ]
        self._ends = sorted(ends)

    def planned(self) -> tuple[tuple[PlannedStep, ...], ...]:
        found: list[dict[int, PlannedStep]] = [{} for _ in self._threads]
        for _, place, number in sorted(self._effects()):
            found[place][number] = self._plan(place, number)
        return tuple(
            tuple(self._without_known(place, steps[number]) for number in sorted(steps))
            for place, steps in enumerate(found)
        )

    def _effects(self) -> Iterable[tuple[int, int, int]]:
        """When each step takes effect: mmap and brk when they end, the others when they begin."""
        for place, thread in enumerate(self._threads):
            for number, (step, moment) in enumerate(zip(thread.steps, thread.moments, strict=True)):
                yield moment.ends_ns if isinstance(step, Mmap | Brk) else moment.begins_ns, place, number

    def _plan(self, place: int, number: int) -> PlannedStep:
        thread, me = self._threads[place], (place, number + 1)
        step, moment = thread.steps[number], thread.moments[number]
        touched, makes = self._apply(step, me)
        after: dict[int, int] = {}
        for segment in touched:
            for other, count in _needs(segment, step):
                after[other] = max(after.get(other, 0), count)
        if moment.away or not number:
            last = self._last_before(moment.begins_ns, place)
            after[last[0]] = max(after.get(last[0], 0), last[1])
        after.pop(place, None)
        after.pop(NOBODY, None)
        return PlannedStep(step, _pieces(touched), makes, tuple(sorted(after.items())), moment.slept_ns)

    def _apply(self, step: Step, me: Done) -> tuple[list[_Segment], Piece | None]:
        """Do what the step does to the address space; return the parts as they were, and the mapping that it makes."""
        match step:
            case Fault(address=address):
                return self._space.used(address, address + 1, me), None
            case Mmap(address=address, length=length, flags=flags):
                return self._map(*page_range(address, length), me, replaces=bool(flags & MAP_FIXED))
            case Munmap(address=address, length=length):
                return self._space.removed(*page_range(address, length)), None
            case Mprotect(address=address, length=length) | Madvise(address=address, length=length):
                return self._space.changed(*page_range(address, length), me), None
            case Brk(address=address):
                return self._move_break(page_range(address, 0)[0], me)
        raise AssertionError(f"{step} is no step")

    def _map(self, start: int, end: int, me: Done, *, replaces: bool = False) -> tuple[list[_Segment], Piece]:
        """What was there is gone, by MAP_FIXED or by something that is not recorded."""
        replaced = self._space.removed(start, end)
        self._space.add(_Segment(start, end, self._mappings, 0, me))
        self._mappings += 1
        return replaced if replaces else [], Piece(self._mappings - 1, 0, end - start)

    def _move_break(self, end: int, me: Done) -> tuple[list[_Segment], Piece | None]:
        old, self._heap_end = self._heap_end, end
        if old is None or end == old:
            return [], None  # the first one only tells where the heap ends
        if end < old:
            return self._space.removed(end, old), None
        return self._map(old, end, me)

    def _last_before(self, at_ns: int, place: int) -> Done:
        """The last step that another thread had done by then."""
        until = bisect_left(self._ends, at_ns, key=lambda end: end[0])
        ends = (self._ends[index] for index in range(until - 1, -1, -1))
        return next(((other, count) for _, other, count in ends if other != place), (NOBODY, 0))

    def _without_known(self, place: int, planned: PlannedStep) -> PlannedStep:
        """A thread need not wait twice for the same."""
        known = self._known[place]
        after = tuple((other, count) for other, count in planned.after if known.get(other, 0) < count)
        known.update(after)
        return replace(planned, after=after)


def _pieces(segments: Iterable[_Segment]) -> tuple[Piece, ...]:
    """The parts of mappings that segments are: neighbours are one, whatever their histories."""
    pieces: list[Piece] = []
    for segment in segments:
        last = pieces[-1] if pieces else None
        length = segment.end - segment.start
        if last is not None and (last.mapping, last.offset + last.length) == (segment.mapping, segment.offset):
            pieces[-1] = Piece(last.mapping, last.offset, last.length + length)
        else:
            pieces.append(Piece(segment.mapping, segment.offset, length))
    return tuple(pieces)


def _needs(segment: _Segment, step: Step) -> Iterable[Done]:
    needs = dict(segment.uses) if not isinstance(step, Fault) else {}
    if segment.changed is not None:
        other, count = segment.changed
        needs[other] = max(needs.get(other, 0), count)
    return needs.items()


class _Space:
    """The address space by segments, ascending and disjoint."""

    def __init__(self, areas: Sequence[RecordedArea]) -> None:
        self._segments = [_Segment(area.start, area.end, number, 0, None) for number, area in enumerate(areas)]

    def add(self, segment: _Segment) -> None:
        self._segments.insert(bisect_left(self._segments, segment.start, key=lambda one: one.start), segment)

    def used(self, start: int, end: int, me: Done) -> list[_Segment]:
        """The segments that a range meets, as they are; they are used by `me` from now on."""
        met = [self._segments[place] for place in self._meeting(start, end)]
        before = [segment.cut(max(segment.start, start), min(segment.end, end)) for segment in met]
        for segment in met:
            segment.uses[me[0]] = me[1]
        return before

    def removed(self, start: int, end: int) -> list[_Segment]:
        """Take the range out; return the parts that were there."""
        met = self._meeting(start, end)
        segments = self._segments[met.start : met.stop]
        kept = [segment.cut(segment.start, start) for segment in segments if segment.start < start]
        kept += [segment.cut(end, segment.end) for segment in segments if segment.end > end]
        self._segments[met.start : met.stop] = kept
        return [segment.cut(max(segment.start, start), min(segment.end, end)) for segment in segments]

    def changed(self, start: int, end: int, me: Done) -> list[_Segment]:
        """Begin a new history for the range; return the parts as they were."""
        before = self.removed(start, end)
        for segment in before:
            self.add(_Segment(segment.start, segment.end, segment.mapping, segment.offset, me))
        return before

    def _meeting(self, start: int, end: int) -> range:
        first = bisect_right(self._segments, start, key=lambda one: one.end)
        return range(first, bisect_left(self._segments, end, lo=first, key=lambda one: one.start))
