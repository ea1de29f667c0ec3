"""Per-VMA locks: who reads which area, which writer waits for whom; in the form of 6.15 and in that of 6.4.

6.15 counts readers in vm_refcnt, here in the area's own cache line. 6.4 has a rwsem an area, allocated by itself so
that its traffic does not take the area's words along.
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
        self._vm_locks: dict[int, CacheLine] = {}

    def handlers(self) -> dict[type[Message], Handler]:
        """Return the handlers of both forms."""
        return {
            VmaStartRead: self._start_read,
            VmaEndRead: self._end_read,
            VmLockTrylock: self._trylock,
            VmLockUpRead: self._up_read,
            VmaStartWrite: self._start_write,
        }

    def holder(self, who: Who) -> Holder | None:
        """Name the readers that a writer waits for."""
        for writer, vmas in self._writers:
            if writer == who:
                busy = next(vma for vma in vmas if vma.writer_waits)
                return Holder(f"vma {busy.vma_id} (read-locked)", ("its readers",), 0, "have not released it")
        return None

    def lines_busy_ns(self) -> dict[tuple[str, int], int]:
        """Return how long each vm_lock's cache line has been taken, by (name, area)."""
        return {("vm_lock line", vma_id): line.busy_ns for vma_id, line in self._vm_locks.items()}

    def forget(self, vma: Vma) -> None:
        """An area is freed, and its vm_lock with it."""
        self._vm_locks.pop(vma.vma_id, None)

    def lock_for_write(self, vmas: list[Vma], who: Who, *, wait: bool = True) -> bool:
        """vma_start_write on each: False when readers are inside; ``who`` is woken once they are gone."""
        client, _ = who
        for vma in vmas:
            if vma.locked_at == self._vmas.mm.lock_sequence:
                continue  # ours already: who reads it is about to leave
            vma.locked_at = self._vmas.mm.lock_sequence
            vma.writer_waits = wait and vma.readers > 0
            if vma.vma_id in self._vm_locks:  # in 6.4 a down_write and an up_write, which the next reader pays for too
                self._vm_locks[vma.vma_id].write_twice(self._vmas.now_ns, client.cpu_id, 0)
        if any(vma.writer_waits for vma in vmas):
            self._writers.append((who, vmas))
            return False
        return True

    # --- 6.15 --------------------------------------------------------------------------------------------------------

    def _start_read(self, message: VmaStartRead, client: Any, tag: int) -> None:
        vmas, now_ns = self._vmas, self._vmas.now_ns
        vma = vmas.known(message.vma_id)
        if vma is None or not vma.attached:
            # Freed, or about to be. SLAB_TYPESAFE_BY_RCU: the count may be read even so, and is 0.
            vmas.mm.reply(now_ns, client, tag, DETACHED)
        elif vma.writer_waits:
            vmas.mm.reply(vmas.line(vma).read(now_ns, client.cpu_id), client, tag, WRITER_INSIDE)
        else:
            self._count_reader(vma, vmas.line(vma), client, tag)

    def _count_reader(self, vma: Vma, line: CacheLine, client: Any, tag: int) -> None:
        vma.readers += 1
        done_ns = line.write(self._vmas.now_ns, client.cpu_id)
        writer = vma.locked_at == self._vmas.mm.lock_sequence
        self._vmas.mm.reply(done_ns, client, tag, VmaReadLocked(vma=vma.snapshot(), writer=writer))

    def _end_read(self, message: VmaEndRead, client: Any, tag: int) -> None:
        del tag
        vma = self._vmas.used(message.vma_id, message, client)
        if vma is not None:
            self._drop_reader(vma, self._vmas.line(vma), client)

    def _drop_reader(self, vma: Vma, line: CacheLine, client: Any) -> None:
        done_ns = line.write(self._vmas.now_ns, client.cpu_id)
        vma.readers -= 1
        if vma.readers == 0 and vma.writer_waits:
            vma.writer_waits = False
            self._wake_writers(done_ns + self._vmas.machine.wake_ns)
        self._vmas.free_unused(vma)

    # --- 6.4 ---------------------------------------------------------------------------------------------------------

    def _vm_lock(self, vma: Vma) -> CacheLine:
        """Return vm_lock's line. It is made with the first reader: who never has one writes it for nobody."""
        line = self._vm_locks.get(vma.vma_id)
        if line is None:
            line = self._vm_locks[vma.vma_id] = CacheLine(self._vmas.machine)
        return line

    def _trylock(self, message: VmLockTrylock, client: Any, tag: int) -> None:
        vmas, now_ns = self._vmas, self._vmas.now_ns
        vma = vmas.known(message.vma_id)
        if vma is None:
            vmas.mm.reply(now_ns, client, tag, DETACHED)
        elif vma.writer_waits:
            vmas.mm.reply(self._vm_lock(vma).write(now_ns, client.cpu_id), client, tag, WRITER_INSIDE)
        elif not vma.attached:
            done_ns = self._vm_lock(vma).write_twice(now_ns, client.cpu_id, 0)
            writer = vma.locked_at == vmas.mm.lock_sequence
            vmas.mm.reply(done_ns, client, tag, WRITER_INSIDE if writer else DETACHED)
        else:
            self._count_reader(vma, self._vm_lock(vma), client, tag)

    def _up_read(self, message: VmLockUpRead, client: Any, tag: int) -> None:
        del tag
        vma = self._vmas.used(message.vma_id, message, client)
        if vma is not None:
            self._drop_reader(vma, self._vm_lock(vma), client)

    # --- writers -----------------------------------------------------------------------------------------------------

    def _start_write(self, message: VmaStartWrite, client: Any, tag: int) -> None:
        vmas = self._vmas.tree.overlapping(message.start, message.end)
        now_ns = self._vmas.now_ns
        if self.lock_for_write(vmas, (client, tag), wait=message.wait):
            done_ns = now_ns + self._vmas.machine.atomic_ns * len(vmas)
            self._vmas.mm.reply(done_ns, client, tag, VMA_WRITE_LOCKED)
        else:
            self._vmas.mm.reply(now_ns, client, tag, MUST_SLEEP)

    def _wake_writers(self, at_ns: int) -> None:
        for entry in list(self._writers):
            (client, tag), vmas = entry
            # Not their readers: one that came too late is inside for a moment, of an area that is locked already.
            if not any(vma.writer_waits for vma in vmas):
                self._writers.remove(entry)
                self._vmas.mm.reply(at_ns, client, tag, GRANTED)
