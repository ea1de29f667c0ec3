"""The areas that must exist before the recording begins.

A recording begins in the middle of a life. What a thread touches, unmaps, protects or advises outside every area that
was mapped since then was mapped before. Such pages are put together to areas:

- A fault tells one page, a call its range; pages that touch or overlap are one area.
- Two pieces at most 2 MiB apart are one area, unless something contradicts: the space between them was mapped in the
  recording as free space (so it was free before), or one piece or something between them was unmapped as a range of its
  own, or one piece is executed and never written, the other written and never executed (text beside data).
- A fault below 64 KiB (vm.mmap_min_addr) is no area: a program that follows a null pointer and expects the signal.
- The kernel may merge or split: areas are what must be mapped, not the VMAs of the recorded kernel.

Assumed, because a recording does not tell: an area whose faults are all instruction fetches or reads maps a file; one
with a write, or with no fault at all, is anonymous. `prot` is what its faults needed; read and write if there are none.

The order of effects is that of time: munmap when it begins, mmap when it ends (see `threads.TimedStep`), so that a
place that one thread gave back and another one got is never seen in use twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from kactors.recordings.ranges import RangeSet, page_range
from kactors.recordings.steps import (
    MAP_FIXED,
    PAGE_BYTES,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
    Brk,
    Fault,
    Madvise,
    Mmap,
    Mprotect,
    Munmap,
)
from kactors.recordings.threads import TimedStep

JOIN_BYTES = 2 << 20
"""Pieces of one area are at most this far apart: the reach of one page table of x86."""

MMAP_MIN_BYTES = 64 << 10
"""Nothing is mapped below this address (the kernel's vm.mmap_min_addr)."""

_READ, _WRITE, _EXECUTE, _UNMAP = 1, 2, 4, 8


@dataclass(frozen=True, slots=True)
class RecordedArea:
    """[start, end) in bytes, page-aligned, mapped with `prot` (PROT_* bits); `file`: of a file (assumed)."""

    start: int
    end: int
    prot: int
    file: bool


@dataclass(slots=True)
class _Piece:
    """A range and what is known of it: bits of _READ, _WRITE, _EXECUTE, _UNMAP."""

    start: int
    end: int
    known: int


def areas_before(changes: Iterable[TimedStep]) -> tuple[RecordedArea, ...]:
    """The areas, ascending and disjoint, that the steps of a process (in any order) need and do not map themselves."""
    space = _Space()
    for change in sorted(changes, key=lambda change: change.at_ns):
        space.apply(change)
    return tuple(_area(piece) for piece in space.pieces())


class _Space:
    """The address space as the recording shows it."""

    def __init__(self) -> None:
        self._mapped = RangeSet()  # by an mmap or brk of the recording, and not unmapped since
        self._unmapped = RangeSet()  # by a munmap of the recording, and not mapped since
        self._was_free = RangeSet()  # before the recording: an mmap found it free, and nothing had unmapped it
        self._given_up = RangeSet()  # mapped before the recording, and unmapped in it
        self._pages: dict[int, int] = {}  # page address -> _READ | _WRITE | _EXECUTE, of faults outside `_mapped`
        self._ranges: list[_Piece] = []  # of calls outside `_mapped`
        self._break: int | None = None

    def apply(self, change: TimedStep) -> None:
        """Takes the next step, in the order of time."""
        match change.step:
            case Fault(address=address, write=write, instruction=instruction):
                if address >= MMAP_MIN_BYTES and address not in self._mapped:
                    page = address - address % PAGE_BYTES
                    access = _WRITE if write else _EXECUTE if instruction else _READ
                    self._pages[page] = self._pages.get(page, 0) | access
            case Mmap(address=address, length=length, flags=flags):
                # MAP_FIXED takes its place whatever was there; every other mmap found its place free.
                found_free = not flags & MAP_FIXED
                self._map(*page_range(address, length), found_free=found_free)
            case Munmap(address=address, length=length):
                self._unmap(*page_range(address, length))
            case Mprotect(address=address, length=length) | Madvise(address=address, length=length):
                self._touch_range(*page_range(address, length))
            case Brk(address=address):
                self._move_break(-(-address // PAGE_BYTES) * PAGE_BYTES)

    def _map(self, start: int, end: int, *, found_free: bool) -> None:
        if found_free:
            for low, high in self._unmapped.gaps(start, end):
                self._was_free.add(low, high)
        self._mapped.add(start, end)
        self._unmapped.remove(start, end)

    def _unmap(self, start: int, end: int) -> None:
        for low, high in self._unknown(start, end):
            self._ranges.append(_Piece(low, high, _UNMAP))
            self._given_up.add(low, high)
        self._mapped.remove(start, end)
        self._unmapped.add(start, end)

    def _touch_range(self, start: int, end: int) -> None:
        self._ranges.extend(_Piece(low, high, 0) for low, high in self._unknown(start, end))

    def _move_break(self, new: int) -> None:
        # The first break that is seen only tells where the heap ends, not that it moved.
        old = new if self._break is None else self._break
        self._break = new
        if new < old:
            self._unmap(new, old)
        elif new > old:
            self._map(old, new, found_free=True)

    def _unknown(self, start: int, end: int) -> list[tuple[int, int]]:
        """The parts of [start, end) that no step so far has mapped or unmapped."""
        return [part for low, high in self._mapped.gaps(start, end) for part in self._unmapped.gaps(low, high)]

    def pieces(self) -> list[_Piece]:
        """The areas, ascending."""
        pages = (_Piece(page, page + PAGE_BYTES, known) for page, known in self._pages.items())
        parts = [
            _Piece(low, high, piece.known)
            for piece in chain(self._ranges, pages)
            # What was free then is not mapped then, whatever was seen there later (mremap and exec are not recorded).
            for low, high in self._was_free.gaps(piece.start, piece.end)
        ]
        joined: list[_Piece] = []
        for piece in _solid(parts):
            if joined and self._is_one_area(joined[-1], piece):
                _swallow(joined[-1], piece)
            else:
                joined.append(piece)
        return joined

    def _is_one_area(self, low: _Piece, high: _Piece) -> bool:
        if (_is_text(low) and _is_data(high)) or (_is_data(low) and _is_text(high)):
            return False
        if high.start == low.end:
            return True
        if high.start - low.end > JOIN_BYTES or (low.known | high.known) & _UNMAP:
            return False
        return not self._was_free.meets(low.end, high.start) and not self._given_up.meets(low.end, high.start)


def _solid(parts: list[_Piece]) -> list[_Piece]:
    """Parts that overlap put together, ascending: only then is it known of each whether it is executed or written."""
    solid: list[_Piece] = []
    for part in sorted(parts, key=lambda part: (part.start, part.end)):
        if solid and part.start < solid[-1].end:
            _swallow(solid[-1], part)
        else:
            solid.append(part)
    return solid


def _swallow(low: _Piece, high: _Piece) -> None:
    low.end = max(low.end, high.end)
    low.known |= high.known


def _is_text(piece: _Piece) -> bool:
    return bool(piece.known & _EXECUTE) and not piece.known & _WRITE


def _is_data(piece: _Piece) -> bool:
    return bool(piece.known & _WRITE) and not piece.known & _EXECUTE


def _area(piece: _Piece) -> RecordedArea:
    accesses = piece.known & (_READ | _WRITE | _EXECUTE)
    prot = PROT_READ
    prot |= PROT_WRITE if accesses & _WRITE or not accesses else 0
    prot |= PROT_EXEC if accesses & _EXECUTE else 0
    return RecordedArea(piece.start, piece.end, prot, file=bool(accesses) and not accesses & _WRITE)
