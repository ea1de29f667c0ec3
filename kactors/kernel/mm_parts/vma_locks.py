"""Per-VMA locks: who reads which area, which writer waits for whom; in the form of 6.15 and in that of 6.4.

6.15 counts readers in vm_refcnt, 6.4 has a rwsem an area, vm_lock; both lie in a cache line of their own, so that their
traffic does not take the area's words along. Which areas writers own, vm_lock_seq of the area's words tells beside
mm_lock_seq, one word of the mm in a third line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kactors.engine.actor import Handler
from kactors.engine.waits import Holder
from kactors.kernel.cache_line import CacheLine
from kactors.kernel.mm_parts.part import Who
from kactors.kernel.vma_tree import Vma
from protocols.base import Message
from protocols.scheduling import GRANTED, MUST_SLEEP
from protocols.vma import (
    VMA_WRITE_LOCKED,
    VmaEndRead,
    VmaReadLocked,
    VmaStartRead,
    VmaStartWrite,
    VmLockTrylock,
    VmLockUpRead,
)

if TYPE_CHECKING:
    from kactors.kernel.mm_parts.vmas import Vmas

DETACHED = VmaReadLocked(vma=None, writer=False)
WRITER_INSIDE = VmaReadLocked(vma=None, writer=True)


class VmaLocks:
    """Read and write locks of areas; all write locks end with mmap_sem's (its lock sequence moves on)."""

    def __init__(self, vmas: Vmas) -> None:
        self._vmas = vmas
        self._writers: list[tuple[Who, list[Vma]]] = []
        self._lines: dict[int, CacheLine] = {}
        # mm_lock_seq: in 6.15 a seqcount, odd from down_write on; in 6.4 moved by up_write alone.
        self._seqcount_line = CacheLine(vmas.machine)
        self._seq_line = CacheLine(vmas.machine)

    def handlers(self) -> dict[type[Message], Handler]:
        """Return the handlers of both forms."""
        return {
            VmaStartRead: self._start_read,
            VmaEndRead: self._end_read,
            VmLockTrylock: self._trylock,
            VmLockUpRead: self._end_read,
            VmaStartWrite: self._start_write,
        }

    def holder(self, who: Who) -> Holder | None:
        """Name the readers that a writer waits for."""
        for writer, vmas in self._writers:
            if writer == who:
                busy = next(vma for vma in vmas if vma.writer_waits)
                return Holder(f"vma {busy.vma_id} (read-locked)", ("its readers",), 0, "have not released it")
        return None

    @property
    def in_use(self) -> bool:
        """Whether the kernel has per-VMA locks: where nobody ever took one for reading, it has none."""
        return self._seqcount_line.in_use or self._seq_line.in_use

    @property
    def lock_new_ns(self) -> int:
        """What the write lock of an area costs that lies in the cache of the CPU that makes it."""
        return 3 * self._vmas.machine.atomic_ns if self.in_use else 0

    def lines_busy_ns(self) -> dict[tuple[str, int], int]:
        """Return how long each area's lock has been taken, by (name, area)."""
        return {("vm_lock line", vma_id): line.busy_ns for vma_id, line in self._lines.items()}

    def add(self, vma: Vma, cpu: int) -> None:
        """A CPU has made an area, with its lock."""
        self._lines[vma.vma_id] = CacheLine(self._vmas.machine, owner=cpu)

    def forget(self, vma: Vma) -> None:
        """An area is freed, and its lock with it."""
        del self._lines[vma.vma_id]

    def count_section(self, at_ns: int, cpu: int, *, ends: bool) -> int:
        """Return when a writer of mmap_sem, at the beginning of his section or its end, has moved mm_lock_seq."""
        if self._seqcount_line.in_use:
            at_ns = self._seqcount_line.write(at_ns, cpu)
        return self._seq_line.write(at_ns, cpu) if ends and self._seq_line.in_use else at_ns

    def read_section(self, at_ns: int, cpu: int) -> int:
        """Return when a CPU that has read an area's vm_lock_seq knows mm_lock_seq too."""
        for line in (self._seqcount_line, self._seq_line):
            if line.in_use:
                at_ns = line.read(at_ns, cpu)
        return at_ns

    def lock_for_write(self, vmas: list[Vma], who: Who, *, wait: bool = True) -> tuple[int, bool]:
        """vma_start_write on each: when that is done, and False if readers are inside; ``who`` is woken once they left.

        6.4: down_write and up_write of vm_lock, vm_lock_seq in between. 6.15: the same with two atomics on vm_refcnt.
        """
        (client, _), at_ns = who, self._vmas.now_ns
        for vma in vmas:
            if vma.locked_at == self._vmas.mm.lock_sequence:
                continue  # ours already: who reads it is about to leave
            vma.locked_at = self._vmas.mm.lock_sequence
            vma.writer_waits = wait and vma.readers > 0
            if self.in_use:
                at_ns = self._lines[vma.vma_id].write_twice(at_ns, client.cpu_id, 0)
                at_ns = self._vmas.lines[vma.vma_id].write(at_ns, client.cpu_id)
        if any(vma.writer_waits for vma in vmas):
            self._writers.append((who, vmas))
            return at_ns, False
        return at_ns, True

    # --- 6.15 --------------------------------------------------------------------------------------------------------

    def _start_read(self, message: VmaStartRead, client: Any, tag: int) -> None:
        vmas, now_ns = self._vmas, self._vmas.now_ns
        vma = vmas.known(message.vma_id)
        if vma is None or not vma.attached:
            # Freed, or about to be. SLAB_TYPESAFE_BY_RCU: the count may be read even so, and is 0.
            vmas.mm.reply(now_ns, client, tag, DETACHED)
        elif vma.writer_waits:
            vmas.mm.reply(self._lines[vma.vma_id].read(now_ns, client.cpu_id), client, tag, WRITER_INSIDE)
        else:
            self._count_reader(vma, self._seqcount_line, client, tag)

    def _count_reader(self, vma: Vma, mm_lock_seq: CacheLine, client: Any, tag: int) -> None:
        vma.readers += 1
        done_ns = self._lines[vma.vma_id].write(self._vmas.now_ns, client.cpu_id)
        done_ns = mm_lock_seq.read(done_ns, client.cpu_id)
        done_ns = self._vmas.lines[vma.vma_id].read(done_ns, client.cpu_id)
        writer = vma.locked_at == self._vmas.mm.lock_sequence
        self._vmas.mm.reply(done_ns, client, tag, VmaReadLocked(vma=vma.snapshot(), writer=writer))

    def _end_read(self, message: VmaEndRead | VmLockUpRead, client: Any, tag: int) -> None:
        del tag
        vma = self._vmas.used(message.vma_id, message, client)
        if vma is None:
            return
        done_ns = self._vmas.mm.stores.write(self._lines[vma.vma_id], self._vmas.now_ns, client.cpu_id)
        vma.readers -= 1
        if vma.readers == 0 and vma.writer_waits:
            vma.writer_waits = False
            self._wake_writers(done_ns + self._vmas.machine.wake_ns)
        self._vmas.free_unused(vma)

    # --- 6.4 ---------------------------------------------------------------------------------------------------------

    def _trylock(self, message: VmLockTrylock, client: Any, tag: int) -> None:
        vmas, now_ns = self._vmas, self._vmas.now_ns
        vma = vmas.known(message.vma_id)
        if vma is None:
            vmas.mm.reply(now_ns, client, tag, DETACHED)
        elif vma.writer_waits:
            vmas.mm.reply(self._lines[vma.vma_id].write(now_ns, client.cpu_id), client, tag, WRITER_INSIDE)
        elif not vma.attached:
            done_ns = self._lines[vma.vma_id].write_twice(now_ns, client.cpu_id, 0)
            writer = vma.locked_at == vmas.mm.lock_sequence
            vmas.mm.reply(done_ns, client, tag, WRITER_INSIDE if writer else DETACHED)
        else:
            self._count_reader(vma, self._seq_line, client, tag)

    # --- writers -----------------------------------------------------------------------------------------------------

    def _start_write(self, message: VmaStartWrite, client: Any, tag: int) -> None:
        vmas = self._vmas.tree.overlapping(message.start, message.end)
        done_ns, granted = self.lock_for_write(vmas, (client, tag), wait=message.wait)
        self._vmas.mm.reply(done_ns, client, tag, VMA_WRITE_LOCKED if granted else MUST_SLEEP)

    def _wake_writers(self, at_ns: int) -> None:
        for entry in list(self._writers):
            (client, tag), vmas = entry
            # Not their readers: one that came too late is inside for a moment, of an area that is locked already.
            if not any(vma.writer_waits for vma in vmas):
                self._writers.remove(entry)
                self._vmas.mm.reply(at_ns, client, tag, GRANTED)
