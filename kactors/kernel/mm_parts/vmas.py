"""VMAs: look-ups, references and sequence counts; tree changes are in region.py, per-VMA locks in vma_locks.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kactors.engine.actor import Handler
from kactors.engine.waits import Holder
from kactors.kernel.lockdep import MM_RB_LOCK, tell_acquired, tell_released
from kactors.kernel.mm_parts.grace_periods import GracePeriods
from kactors.kernel.mm_parts.limbo import Limbo
from kactors.kernel.mm_parts.part import Host, Part, Who
from kactors.kernel.mm_parts.region import Regions
from kactors.kernel.mm_parts.vma_lines import VmaLines
from kactors.kernel.mm_parts.vma_locks import VmaLocks
from kactors.kernel.vma_tree import Vma, VmaTree
from protocols.base import Message
from protocols.tracepoints import LockAcquired, LockNeeded, VmaTouched
from protocols.vma import (
    NO_VMA,
    VMA_ATOMIC_DONE,
    AnonVmaPrepare,
    CopyVma,
    FindVma,
    GetVma,
    PutVma,
    ReadSequence,
    ReadTreeSeq,
    ReadVma,
    RefVma,
    SetVmaFlags,
    TreeSeq,
    VmaAtomic,
    VmaFound,
    VmaRead,
    VmaSequence,
    VmaWalked,
    VmWriteBegin,
    VmWriteEnd,
    WalkVmas,
)


class Vmas(Part):
    """The tree, mm_rb_lock, and the words in each VMA that faults and writers synchronise on."""

    def __init__(self, mm: Host, tree: VmaTree, grace_periods: GracePeriods) -> None:
        super().__init__(mm)
        self.tree = tree
        self._by_id: dict[int, Vma] = {}
        self.lines = VmaLines(mm.machine)
        self.locks = VmaLocks(self)
        self.limbo = Limbo(self, grace_periods)
        self._regions = Regions(self)
        self._postponed: list[tuple[Message, Any, int]] = []

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
            CopyVma: self._copy,
            VmaAtomic: self._atomic,
            ReadTreeSeq: self._read_tree_seq,
            RefVma: self._ref,
            **self.limbo.handlers(),
            **self.locks.handlers(),
            **self._regions.handlers(),
        }

    def holder(self, who: Who) -> Holder | None:
        """Name what keeps ``who`` waiting: the readers of a VMA, or a tree change."""
        if (readers := self.locks.holder(who)) is not None:
            return readers
        if any((client, tag) == who for _, client, tag in self._postponed):
            return Holder("mm_rb_lock (held for write)", (self.mm.name,), 0, "a tree change is not complete")
        return None

    def lines_busy_ns(self) -> dict[tuple[str, int], int]:
        """Return how long the cache lines of the tree, of each area and of its lock have been taken."""
        return {**self.lines.busy_ns(), **self.locks.lines_busy_ns()}

    def areas(self) -> Iterator[Vma]:
        """Yield every area that is in the tree, or that a reference or a reader still keeps."""
        yield from self._by_id.values()

    # --- services for the tree changes -------------------------------------------------------------------------------

    def adopt(self, vma: Vma, cpu: int) -> None:
        """Know a new area, which a CPU has made, by its number."""
        self._by_id[vma.vma_id] = vma
        self.lines.add(vma.vma_id, cpu)
        self.locks.add(vma, cpu)

    def drop(self, vma: Vma) -> None:
        """Drop one reference; the last one frees the area."""
        vma.references -= 1
        self.free_unused(vma)

    def free_unused(self, vma: Vma) -> None:
        """Free an area that neither a reference nor a reader keeps."""
        if vma.references == 0 and vma.readers == 0:
            del self._by_id[vma.vma_id]
            self.lines.remove(vma.vma_id)
            self.locks.forget(vma)

    def known(self, vma_id: int) -> Vma | None:
        """Return the area if it has not been freed."""
        return self._by_id.get(vma_id)

    def replay_postponed(self) -> None:
        """mm_rb_lock is free again, and mm_seq even: serve the look-ups that waited for it."""
        waiting, self._postponed = self._postponed, []
        handlers: dict[type[Message], Handler] = {GetVma: self._get_vma, ReadTreeSeq: self._read_tree_seq}
        for message, client, tag in waiting:
            handlers[type(message)](message, client, tag)

    def used(self, vma_id: int, message: Message, client: Any) -> Vma | None:
        """Return the area; None, and the observers are told, when it has been freed."""
        vma = self._by_id.get(vma_id)
        if vma is None and self.mm.engine.listens(VmaTouched):
            touched = VmaTouched(vma_id=vma_id, toucher=client.name, request=type(message).__name__)
            self.mm.engine.emit(self.now_ns, self.mm, touched)
        return vma

    def _written(self, vma_id: int, message: Message, client: Any) -> Vma | None:
        """As ``used``, by somebody who writes a word of it: its cache line goes to him, for which he waits."""
        vma = self.used(vma_id, message, client)
        if vma is not None:
            self.mm.stores.write(self.lines[vma_id], self.now_ns, client.cpu_id)
        return vma

    # --- handlers ----------------------------------------------------------------------------------------------------

    def _find_vma(self, message: FindVma, client: Any, tag: int) -> None:
        if self.mm.engine.listens(LockNeeded):
            self.mm.must_hold_mmap_sem(client, tag, "looks a VMA up with find_vma", write=False)
        vma = self.tree.find(message.address)
        done_ns = self.lines.look_up(self.now_ns, client.cpu_id, vma)
        self.mm.reply(done_ns, client, tag, NO_VMA if vma is None else VmaFound(vma=vma.snapshot()))

    def _get_vma(self, message: GetVma, client: Any, tag: int) -> None:
        if self._regions.changing:
            self.lines.rb_lock.read(self.now_ns, client.cpu_id)  # it spins on a copy
            self._postponed.append((message, client, tag))
            return
        if self.mm.engine.listens(LockAcquired):
            mm, who = self.mm, (client, tag)
            tell_acquired(mm.engine, mm, MM_RB_LOCK, who, place=mm.number, write=False)
            tell_released(mm.engine, mm, MM_RB_LOCK, who, place=mm.number, write=False)
        done_ns = self.lines.rb_lock.write_twice(self.now_ns, client.cpu_id, self.machine.find_vma_ns)
        done_ns = self.lines.nodes.read(done_ns, client.cpu_id)
        vma = self.tree.find(message.address)
        if vma is None:
            self.mm.reply(done_ns, client, tag, NO_VMA)
            return
        vma.references += 1
        done_ns = self.lines[vma.vma_id].write(done_ns, client.cpu_id)
        self.mm.reply(done_ns, client, tag, VmaFound(vma=vma.snapshot()))

    def _put_vma(self, message: PutVma, client: Any, tag: int) -> None:
        del tag
        vma = self.used(message.vma_id, message, client)
        if vma is not None:
            self.mm.stores.write(self.lines[message.vma_id], self.now_ns, client.cpu_id)
            self.drop(vma)

    def _read_sequence(self, message: ReadSequence, client: Any, tag: int) -> None:
        vma = self.used(message.vma_id, message, client)
        if vma is None:
            self.mm.reply(self.now_ns, client, tag, VmaSequence(sequence=0, attached=False))
            return
        done_ns = self.lines[vma.vma_id].read(self.now_ns, client.cpu_id)
        self.mm.reply(done_ns, client, tag, VmaSequence(sequence=vma.sequence, attached=vma.attached))

    def _read_vma(self, message: ReadVma, client: Any, tag: int) -> None:
        vma = self.used(message.vma_id, message, client)
        if vma is None:
            self.mm.reply(self.now_ns, client, tag, VmaRead(vma=Vma(message.vma_id, 0, 0).snapshot(), attached=False))
            return
        done_ns = self.lines[vma.vma_id].read(self.now_ns, client.cpu_id)
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
        done_ns = self.lines.look_up(self.now_ns, client.cpu_id, vma)
        if vma is None:
            self.mm.reply(done_ns, client, tag, VmaWalked(vma=None, writer=False))
            return
        done_ns = self.locks.read_section(done_ns, client.cpu_id)
        writer = vma.locked_at == self.mm.lock_sequence
        self.mm.reply(done_ns, client, tag, VmaWalked(vma=vma.snapshot(), writer=writer))

    def _copy(self, message: CopyVma, client: Any, tag: int) -> None:
        vma = self.tree.find(message.address)
        done_ns = self.lines.look_up(self.now_ns, client.cpu_id, vma)
        self.mm.reply(done_ns, client, tag, NO_VMA if vma is None else VmaFound(vma=vma.snapshot()))

    def _read_tree_seq(self, message: ReadTreeSeq, client: Any, tag: int) -> None:
        done_ns = self.lines.mm_seq.read(self.now_ns, client.cpu_id)
        if self._regions.changing and message.begin:
            self._postponed.append((message, client, tag))
            return
        self.mm.reply(done_ns, client, tag, TreeSeq(sequence=self._regions.sequence))

    def _ref(self, message: RefVma, client: Any, tag: int) -> None:
        vma = self.used(message.vma_id, message, client)
        if vma is None:
            self.mm.reply(self.now_ns, client, tag, NO_VMA)
            return
        vma.references += 1
        done_ns = self.lines[vma.vma_id].write(self.now_ns, client.cpu_id)
        self.mm.reply(done_ns, client, tag, VmaFound(vma=vma.snapshot()))

    def _atomic(self, message: VmaAtomic, client: Any, tag: int) -> None:
        known = message.vma_id in self.lines
        done_ns = self.lines[message.vma_id].write(self.now_ns, client.cpu_id) if known else self.now_ns
        self.mm.reply(done_ns, client, tag, VMA_ATOMIC_DONE)
