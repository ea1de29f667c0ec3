"""The VMAs of one mm in address order, with the kernel's rules for placing, splitting and merging them.

Source: mm/mmap.c (vma_merge, __vma_adjust, unmapped_area_topdown).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace

from protocols.vma import MappedFile, VmaKind, VmaSnapshot


@dataclass(slots=True)
class Vma:
    """One area: [start, end) with its protection, and the words that faults and writers synchronise on.

    Attributes:
        sequence: vm_sequence of the SPF series; odd while a writer is inside.
        references: vm_ref_count of the SPF series; 1 for being in the tree.
        readers: read locks held (per-VMA locks).
        writer_waits: a writer is entering: new readers fail.
        locked_at: value of the mm's lock sequence while a writer owns it, else 0.
        mapped_file: of a file area, what it maps from its start on.
    """

    vma_id: int
    start: int
    end: int
    readable: bool = True
    writable: bool = True
    kind: VmaKind = VmaKind.ANON
    anon_vma: bool = False
    hugepage: bool = False
    sequence: int = 0
    references: int = 1
    attached: bool = True
    readers: int = 0
    writer_waits: bool = False
    locked_at: int = 0
    mapped_file: MappedFile | None = None

    def snapshot(self) -> VmaSnapshot:
        """Return what a fault handler copies."""
        return VmaSnapshot(
            vma_id=self.vma_id,
            start=self.start,
            end=self.end,
            readable=self.readable,
            writable=self.writable,
            kind=self.kind,
            anon_vma=self.anon_vma,
            hugepage=self.hugepage,
            sequence=self.sequence,
            mapped_file=self.mapped_file,
        )

    def mergeable_with(self, other: Vma) -> bool:
        """Return whether two adjacent areas may become one: same flags.

        Two anon_vmas of one process count as compatible here; is_mergeable_anon_vma refuses two different ones.
        """
        return (
            self.kind is VmaKind.ANON
            and other.kind is VmaKind.ANON
            and (self.readable, self.writable, self.hugepage) == (other.readable, other.writable, other.hugepage)
        )


class VmaTree:
    """All areas of one mm, sorted and disjoint.

    Args:
        top: addresses are given out downwards from here (mmap_base).
        bottom: lowest address that may be given out.
    """

    def __init__(self, top: int, bottom: int = 1 << 16) -> None:
        self._top, self._bottom = top, bottom
        self._starts: list[int] = []
        self._vmas: list[Vma] = []
        self._next_id = 1

    def __len__(self) -> int:
        return len(self._vmas)

    def __iter__(self) -> Iterator[Vma]:
        return iter(self._vmas)

    def new(self, start: int, end: int, *, readable: bool, writable: bool, kind: VmaKind) -> Vma:
        """Make and insert an area; it must not overlap another.

        Raises:
            ValueError: empty, or it overlaps.
        """
        vma = Vma(self._next_id, start, end, readable=readable, writable=writable, kind=kind)
        self.insert(vma)
        self._next_id += 1
        return vma

    def insert(self, vma: Vma) -> None:
        """Link an area.

        Raises:
            ValueError: empty, or it overlaps.
        """
        place = bisect_left(self._starts, vma.start)
        before = place > 0 and self._vmas[place - 1].end > vma.start
        after = place < len(self._vmas) and self._vmas[place].start < vma.end
        if vma.start >= vma.end or before or after:
            raise ValueError(f"[{vma.start:#x}, {vma.end:#x}) is empty or overlaps another area")
        self._starts.insert(place, vma.start)
        self._vmas.insert(place, vma)

    def erase(self, vma: Vma) -> None:
        """Unlink an area; whoever still refers to it sees ``attached`` false."""
        place = self._place(vma)
        del self._starts[place]
        del self._vmas[place]
        vma.attached = False

    def find(self, address: int) -> Vma | None:
        """Return the area that holds the address."""
        place = bisect_right(self._starts, address) - 1
        if place >= 0 and address < self._vmas[place].end:
            return self._vmas[place]
        return None

    def overlapping(self, start: int, end: int) -> list[Vma]:
        """Return the areas that have an address in [start, end)."""
        place = bisect_right(self._starts, start) - 1
        if place < 0 or self._vmas[place].end <= start:
            place += 1
        last = bisect_left(self._starts, end)
        return self._vmas[place:last]

    def straddling(self, address: int) -> Vma | None:
        """Return the area that an operation beginning or ending at ``address`` must split."""
        vma = self.find(address)
        return vma if vma is not None and vma.start < address else None

    def split(self, vma: Vma, address: int) -> Vma:
        """Cut an area in two; the lower part keeps its number. Return the upper part."""
        upper = replace(
            vma, vma_id=self._next_id, start=address, sequence=0, references=1, readers=0, writer_waits=False
        )
        self._next_id += 1
        if vma.mapped_file is not None:
            offset = vma.mapped_file.offset + address - vma.start
            upper.mapped_file = vma.mapped_file.model_copy(update={"offset": offset})
        vma.end = address
        self.insert(upper)
        return upper

    def neighbours(self, start: int, end: int) -> tuple[Vma | None, Vma | None]:
        """Return the areas that end exactly at ``start`` and begin exactly at ``end``."""
        before = self.find(start - 1)
        after = self.find(end)
        return before, after if after is not None and after.start == end else None

    def absorb(self, vma: Vma, upper: Vma) -> None:
        """Let ``vma`` take over its upper neighbour."""
        self.erase(upper)
        vma.end = upper.end
        vma.anon_vma = vma.anon_vma or upper.anon_vma

    def extend(self, vma: Vma, start: int, end: int) -> None:
        """Move an area's bounds outwards."""
        place = self._place(vma)
        vma.start, vma.end = min(vma.start, start), max(vma.end, end)
        self._starts[place] = vma.start

    def unmapped_area(self, length: int, align: int = 1) -> int | None:
        """Return the start of the highest gap that fits, its end as high as possible; None when there is none."""
        ceiling = self._top
        for vma in reversed(self._vmas):
            start = (ceiling - length) // align * align
            if vma.end <= ceiling and start >= max(vma.end, self._bottom):
                return start
            ceiling = min(ceiling, vma.start)
        start = (ceiling - length) // align * align
        return start if start >= self._bottom else None

    def _place(self, vma: Vma) -> int:
        return bisect_left(self._starts, vma.start)
