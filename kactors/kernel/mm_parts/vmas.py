"""VMAs: look-ups, references, sequence counts and per-VMA locks; tree changes are in region.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kactors.engine.actor import Handler
from kactors.engine.waits import Holder
from kactors.kernel.cache_line import CacheLine
from kactors.kernel.lockdep import MM_RB_LOCK, tell_acquired, tell_released
from kactors.kernel.mm_parts.part import Host, Part, Who
from kactors.kernel.mm_parts.region import Regions
from kactors.kernel.vma_tree import Vma, VmaTree
from protocols.base import Message
from protocols.scheduling import GRANTED, MUST_SLEEP
from protocols.tracepoints import LockAcquired, LockNeeded, VmaTouched
from protocols.vma import (
    NO_VMA,
    VMA_WRITE_LOCKED,
    AnonVmaPrepare,
    FindVma,
    GetVma,
    PutVma,
    ReadSequence,
    ReadVma,
    SetVmaFlags,
    VmaEndRead,
    VmaFound,
    VmaRead,
    VmaReadLocked,
    VmaSequence,
    VmaStartRead,
    VmaStartWrite,
    VmaWalked,
    VmWriteBegin,
    VmWriteEnd,
    WalkVmas,
)

MMAP_BASE = 0x7F00_0000_0000


class Vmas(Part):
    """The tree, mm_rb_lock, and the words in each VMA that faults and writers synchronise on."""

    def __init__(self, mm: Host) -> None:
        super().__init__(mm)
        self.tree = VmaTree(top=MMAP_BASE)
        self._by_id: dict[int, Vma] = {}
        self._lines: dict[int, CacheLine] = {}
        self._rb_line = CacheLine(mm.machine)
        self._writers: list[tuple[Who, list[Vma]]] = []
        self._regions = Regions(self)
        self._postponed: list[tuple[GetVma, Any, int]] = []

    def handlers(self) -> dict[type[Message], Handler]:
        """Return the handlers of look-ups, references, sequences, VMA locks and tree changes."""
        return {
            FindVma: self._find_vma,
            GetVma: self._get_vma,
            PutVma: self._put_vma,
            ReadSequence: self._read_sequence,
            ReadVma: self._read_vma,
            AnonVmaPrepare: self._anon_vma_prepare,
            VmWriteBegin: self._count_sequence,
            VmWriteEnd: self._count_sequence,
            SetVmaFlags: self._set_flags,
            WalkVmas: self._walk,
            VmaStartRead: self._start_read,
            VmaEndRead: self._end_read,
            VmaStartWrite: self._start_write,
            **self._regions.handlers(),
        }

    def holder(self, who: Who) -> Holder | None:
        """Name what keeps ``who`` waiting: the readers of a VMA, or a tree change."""
        for writer, vmas in self._writers:
            if writer == who:
                busy = next(vma for vma in vmas if vma.readers)
                return Holder(f"vma {busy.vma_id} (read-locked)", ("its readers",), 0, "have not released it")
        if any((client, tag) == who for _, client, tag in self._postponed):
            return Holder("mm_rb_lock (held for write)", (self.mm.name,), 0, "a tree change is not complete")
        return None

    def areas(self) -> Iterator[Vma]:
        """Yield every area that is in the tree, or that a reference or a reader still keeps."""
        yield from self._by_id.values()

    # --- services for the tree changes -------------------------------------------------------------------------------

    def adopt(self, vma: Vma) -> None:
        """Know a new area by its number."""
        self._by_id[vma.vma_id] = vma
        self._lines[vma.vma_id] = CacheLine(self.machine)

    def drop(self, vma: Vma) -> None:
        """Drop one reference; the last one frees the area."""
        vma.references -= 1
        self._free_unused(vma)

    def _free_unused(self, vma: Vma) -> None:
        """Free an area that neither a reference nor a reader keeps."""
        if vma.references == 0 and vma.readers == 0:
            del self._by_id[vma.vma_id]
            del self._lines[vma.vma_id]

    def lock_for_write(self, vmas: list[Vma], who: Who, *, wait: bool = True) -> bool:
        """vma_start_write on each: False when readers are inside; ``who`` is woken once they are gone."""
        for vma in vmas:
            if vma.locked_at != self.mm.lock_sequence:  # else it is ours already: who reads it is about to leave
                vma.locked_at = self.mm.lock_sequence
                vma.writer_waits = wait and vma.readers > 0
        if any(vma.writer_waits for vma in vmas):
            self._writers.append((who, vmas))
            return False
        return True

    def replay_postponed(self) -> None:
        """mm_rb_lock is free again: serve the look-ups that waited for it."""
        waiting, self._postponed = self._postponed, []
        for message, client, tag in waiting:
            self._get_vma(message, client, tag)

    def _used(self, vma_id: int, message: Message, client: Any) -> Vma | None:
        """Return the area; None, and the observers are told, when it has been freed."""
        vma = self._by_id.get(vma_id)
        if vma is None and self.mm.engine.listens(VmaTouched):
            touched = VmaTouched(vma_id=vma_id, toucher=client.name, request=type(message).__name__)
            self.mm.engine.emit(self.now_ns, self.mm, touched)
        return vma

    def _written(self, vma_id: int, message: Message, client: Any) -> Vma | None:
        """As ``_used``, by somebody who writes a word of it: its cache line goes to him."""
        vma = self._used(vma_id, message, client)
        if vma is not None:
            self._lines[vma_id].write(self.now_ns, client.cpu_id)
        return vma

    # --- handlers ----------------------------------------------------------------------------------------------------

    def _find_vma(self, message: FindVma, client: Any, tag: int) -> None:
        if self.mm.engine.listens(LockNeeded):
            self.mm.must_hold_mmap_sem(client, tag, "looks a VMA up with find_vma", write=False)
        vma = self.tree.find(message.address)
        if vma is None:
            self.mm.reply(self.now_ns + self.machine.find_vma_ns, client, tag, NO_VMA)
            return
        done_ns = self._lines[vma.vma_id].read(self.now_ns, client.cpu_id) + self.machine.find_vma_ns
        self.mm.reply(done_ns, client, tag, VmaFound(vma=vma.snapshot()))

    def _get_vma(self, message: GetVma, client: Any, tag: int) -> None:
        if self._regions.changing:
            self._postponed.append((message, client, tag))
            return
        if self.mm.engine.listens(LockAcquired):
            tell_acquired(self.mm.engine, self.mm, MM_RB_LOCK, (client, tag), write=False)
            tell_released(self.mm.engine, self.mm, MM_RB_LOCK, (client, tag), write=False)
        done_ns = self._rb_line.write_twice(self.now_ns, client.cpu_id, self.machine.find_vma_ns)
        vma = self.tree.find(message.address)
        if vma is None:
            self.mm.reply(done_ns, client, tag, NO_VMA)
            return
        vma.references += 1
        done_ns = self._lines[vma.vma_id].write(done_ns, client.cpu_id)
        self.mm.reply(done_ns, client, tag, VmaFound(vma=vma.snapshot()))

    def _put_vma(self, message: PutVma, client: Any, tag: int) -> None:
        del tag
        vma = self._used(message.vma_id, message, client)
        if vma is not None:
            self._lines[message.vma_id].write(self.now_ns, client.cpu_id)
            self.drop(vma)

    def _read_sequence(self, message: ReadSequence, client: Any, tag: int) -> None:
        vma = self._used(message.vma_id, message, client)
        if vma is None:
            self.mm.reply(self.now_ns, client, tag, VmaSequence(sequence=0, attached=False))
            return
        done_ns = self._lines[vma.vma_id].read(self.now_ns, client.cpu_id)
        self.mm.reply(done_ns, client, tag, VmaSequence(sequence=vma.sequence, attached=vma.attached))

    def _read_vma(self, message: ReadVma, client: Any, tag: int) -> None:
        vma = self._used(message.vma_id, message, client)
        if vma is None:
            self.mm.reply(self.now_ns, client, tag, VmaRead(vma=Vma(message.vma_id, 0, 0).snapshot(), attached=False))
            return
        done_ns = self._lines[vma.vma_id].read(self.now_ns, client.cpu_id)
        self.mm.reply(done_ns, client, tag, VmaRead(vma=vma.snapshot(), attached=vma.attached))

    def _anon_vma_prepare(self, message: AnonVmaPrepare, client: Any, tag: int) -> None:
        del tag
        vma = self._written(message.vma_id, message, client)
        if vma is not None:
            vma.anon_vma = True

    def _count_sequence(self, message: VmWriteBegin | VmWriteEnd, client: Any, tag: int) -> None:
        del tag
        vma = self._written(message.vma_id, message, client)
        if vma is not None:
            vma.sequence += 1

    def _set_flags(self, message: SetVmaFlags, client: Any, tag: int) -> None:
        del tag
        vma = self._written(message.vma_id, message, client)
        if vma is not None:
            vma.readable, vma.writable, vma.hugepage = message.readable, message.writable, message.hugepage

    def _walk(self, message: WalkVmas, client: Any, tag: int) -> None:
        vma = self.tree.find(message.address)
        walked_ns = self.now_ns + self.machine.find_vma_ns
        if vma is None:
            self.mm.reply(walked_ns, client, tag, VmaWalked(vma=None, writer=False))
            return
        writer = vma.locked_at == self.mm.lock_sequence
        # Who goes on counts himself into vm_refcnt, in the same cache line: that pays for both.
        done_ns = self._lines[vma.vma_id].read(walked_ns, client.cpu_id) if writer else walked_ns
        self.mm.reply(done_ns, client, tag, VmaWalked(vma=vma.snapshot(), writer=writer))

    def _start_read(self, message: VmaStartRead, client: Any, tag: int) -> None:
        vma = self._by_id.get(message.vma_id)
        if vma is None or not vma.attached:
            # Freed, or about to be. SLAB_TYPESAFE_BY_RCU: the count may be read even so, and is 0.
            self.mm.reply(self.now_ns, client, tag, VmaReadLocked(vma=None, writer=False))
        elif vma.writer_waits:
            done_ns = self._lines[vma.vma_id].read(self.now_ns, client.cpu_id)
            self.mm.reply(done_ns, client, tag, VmaReadLocked(vma=None, writer=True))
        else:
            vma.readers += 1
            done_ns = self._lines[vma.vma_id].write(self.now_ns, client.cpu_id)
            writer = vma.locked_at == self.mm.lock_sequence
            self.mm.reply(done_ns, client, tag, VmaReadLocked(vma=vma.snapshot(), writer=writer))

    def _end_read(self, message: VmaEndRead, client: Any, tag: int) -> None:
        del tag
        vma = self._used(message.vma_id, message, client)
        if vma is None:
            return
        done_ns = self._lines[vma.vma_id].write(self.now_ns, client.cpu_id)
        vma.readers -= 1
        if vma.readers == 0 and vma.writer_waits:
            vma.writer_waits = False
            self._wake_writers(done_ns + self.machine.wake_ns)
        self._free_unused(vma)

    def _wake_writers(self, at_ns: int) -> None:
        for entry in list(self._writers):
            (client, tag), vmas = entry
            if not any(vma.readers for vma in vmas):
                self._writers.remove(entry)
                self.mm.reply(at_ns, client, tag, GRANTED)

    def _start_write(self, message: VmaStartWrite, client: Any, tag: int) -> None:
        vmas = self.tree.overlapping(message.start, message.end)
        if self.lock_for_write(vmas, (client, tag), wait=message.wait):
            self.mm.reply(self.now_ns + self.machine.atomic_ns * len(vmas), client, tag, VMA_WRITE_LOCKED)
        else:
            self.mm.reply(self.now_ns, client, tag, MUST_SLEEP)
