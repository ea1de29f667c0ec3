"""The heap's end: mm->start_brk and mm->brk. The area itself is in the tree like any other."""

from __future__ import annotations

from typing import Any

from kactors.engine.actor import Handler
from kactors.kernel.cache_line import CacheLine
from kactors.kernel.mm_parts.part import Host, Part
from protocols.base import Message
from protocols.vma import BrkMoved, MoveBrk


class Heap(Part):
    """Two words of the mm, under mmap_sem held for writing."""

    def __init__(self, mm: Host, start_brk: int) -> None:
        super().__init__(mm)
        self._start_brk = self._brk = start_brk
        self._line = CacheLine(mm.machine)

    def handlers(self) -> dict[type[Message], Handler]:
        """Return the handler of MoveBrk."""
        return {MoveBrk: self._move}

    def _move(self, message: MoveBrk, client: Any, tag: int) -> None:
        self.mm.must_hold_mmap_sem(client, tag, "moves mm->brk", write=True)
        previous, done_ns = self._brk, self._line.read(self.now_ns, client.cpu_id)
        if message.address >= self._start_brk:
            self._brk = message.address
            done_ns = self._line.write(self.now_ns, client.cpu_id)
        self.mm.reply(done_ns, client, tag, BrkMoved(previous=previous, brk=self._brk))
