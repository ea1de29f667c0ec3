"""The heap's end: mm->start_brk and mm->brk. The area itself is in the tree like any other."""

from __future__ import annotations

from typing import Any

from kactors.engine.actor import Handler
from kactors.kernel.mm_parts.part import Host, Part
from protocols.base import Message
from protocols.vma import BrkMoved, MoveBrk

START_BRK = 0x5600_0000_0000
"""Where x86-64 puts the heap of a position-independent program, to the order of magnitude: far below the mmap area."""


class Heap(Part):
    """Two words of the mm, under mmap_sem held for writing."""

    def __init__(self, mm: Host) -> None:
        super().__init__(mm)
        self._brk = START_BRK

    def handlers(self) -> dict[type[Message], Handler]:
        """Return the handler of MoveBrk."""
        return {MoveBrk: self._move}

    def _move(self, message: MoveBrk, client: Any, tag: int) -> None:
        self.mm.must_hold_mmap_sem(client, tag, "moves mm->brk", write=True)
        previous = self._brk
        if message.address >= START_BRK:
            self._brk = message.address
        self.mm.reply(self.now_ns, client, tag, BrkMoved(previous=previous, brk=self._brk))
