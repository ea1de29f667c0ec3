"""The cache lines in which look-ups and tree changes meet: mm_rb_lock, mm_seq, the tree's nodes, each VMA's words.

A look-up after a change fetches what that has written, and a change takes what look-ups have copies of.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kactors.kernel.cache_line import CacheLine
from kactors.kernel.vma_tree import Vma
from protocols.machine import Machine


class VmaLines:
    """Who has which of them.

    Args:
        machine: distances and costs.

    Attributes:
        rb_lock: mm_rb_lock of SPF v9. Where nobody ever took it, the kernel has none; so for ``mm_seq``.
        mm_seq: the sequence lock of SPF v12.
        nodes: root and inner nodes, with the words that each change writes too (map_count, total_vm, the sequence that
            voids the threads' VMA caches): one line for all, since no change leaves them alone and each look-up
            reads them.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.rb_lock = CacheLine(machine)
        self.mm_seq = CacheLine(machine)
        self.nodes = CacheLine(machine)
        self._words: dict[int, CacheLine] = {}

    def __getitem__(self, vma_id: int) -> CacheLine:
        """Return the line of an area's own words, which hold its node as well."""
        return self._words[vma_id]

    def __contains__(self, vma_id: int) -> bool:
        return vma_id in self._words

    def __iter__(self) -> Iterator[int]:
        return iter(self._words)

    def add(self, vma_id: int, cpu: int) -> None:
        """A new area is in the cache of the CPU that made it."""
        self._words[vma_id] = CacheLine(self._machine, owner=cpu)

    def remove(self, vma_id: int) -> None:
        """An area was freed."""
        del self._words[vma_id]

    def busy_ns(self) -> dict[tuple[str, int], int]:
        """Return how long mm_rb_lock and each area have been taken, by (name, area)."""
        areas = {("VMA line", vma_id): line.busy_ns for vma_id, line in self._words.items()}
        return {("mm_rb_lock line", 0): self.rb_lock.busy_ns, **areas}

    def look_up(self, at_ns: int, cpu: int, vma: Vma | None) -> int:
        """Return when a CPU that takes no lock of the tree has walked it, and read the area that it has found."""
        at_ns = self.nodes.read(at_ns, cpu) + self._machine.find_vma_ns
        return at_ns if vma is None else self._words[vma.vma_id].read(at_ns, cpu)

    def begin_change(self, at_ns: int, cpu: int, touched: Iterable[Vma]) -> int:
        """Return when a writer has the tree and the areas that he changes: D1 makes their vm_sequence odd."""
        for line in self._locks():
            at_ns = line.write(at_ns, cpu)
        at_ns = self.nodes.write(at_ns, cpu)
        return self._write_words(at_ns, cpu, touched)

    def end_change(self, at_ns: int, cpu: int, touched: Iterable[Vma]) -> int:
        """Return when he has made vm_sequence even again, at which speculations may have looked, and has let go."""
        at_ns = self._write_words(at_ns, cpu, touched)
        for line in self._locks():
            at_ns = line.write(at_ns, cpu)
        return at_ns

    def _locks(self) -> Iterator[CacheLine]:
        return (line for line in (self.rb_lock, self.mm_seq) if line.in_use)

    def _write_words(self, at_ns: int, cpu: int, touched: Iterable[Vma]) -> int:
        for vma in touched:
            at_ns = self._words[vma.vma_id].write(at_ns, cpu)
        return at_ns
