"""How a fault finds its VMA without mmap_sem, and what keeps it: a reference, a read lock, or a look at its counts."""

from __future__ import annotations

from typing import cast

from kactors.context import KernelContext
from protocols.mmap_sem import READ_MMAP_SEQ, MmapSeq
from protocols.vma import (
    AnonVmaPrepare,
    CopyVma,
    GetVma,
    PutVma,
    ReadSequence,
    ReadTreeSeq,
    ReadVma,
    RefVma,
    TreeSeq,
    VmaAtomic,
    VmaEndRead,
    VmaFound,
    VmaRead,
    VmaReadLocked,
    VmaSequence,
    VmaSnapshot,
    VmaStartRead,
    VmaWalked,
    VmLockTrylock,
    VmLockUpRead,
    WalkVmas,
)


class VmaContext(KernelContext):
    """A CPU's VMA look-ups, references and per-VMA locks."""

    async def get_vma(self, address: int) -> VmaSnapshot | None:
        """SPF C1: find the VMA under mm_rb_lock and take a reference."""
        found: VmaFound = await self.ask(self.directory.mm, GetVma(address=address))
        self.current.refers_to = -1 if found.vma is None else found.vma.vma_id
        return found.vma

    def put_vma(self, vma: VmaSnapshot) -> None:
        """SPF C15: drop the reference."""
        self.current.refers_to = -1
        self.spend(self.machine.atomic_ns)
        self.say(self.directory.mm, PutVma(vma_id=vma.vma_id))

    async def vma_has_changed(self, vma: VmaSnapshot) -> bool:
        """SPF C12.i: unlinked from the tree, or written since the snapshot."""
        seen: VmaSequence = await self.ask(self.directory.mm, ReadSequence(vma_id=vma.vma_id))
        return not seen.attached or seen.sequence != vma.sequence

    async def read_vma(self, vma: VmaSnapshot) -> VmaRead:
        """SPF C15: read the VMA again, and whether it is still in the tree; to be relied on under mmap_sem only."""
        return cast(VmaRead, await self.ask(self.directory.mm, ReadVma(vma_id=vma.vma_id)))

    def anon_vma_prepare(self, vma: VmaSnapshot) -> None:
        """Classic A8: attach the anon_vma on the first fault of a VMA."""
        if not vma.anon_vma:
            self.spend(self.machine.atomic_ns)
            self.say(self.directory.mm, AnonVmaPrepare(vma_id=vma.vma_id))

    async def walk_vmas(self, address: int) -> VmaWalked:
        """Per-VMA locks H1: the RCU walk."""
        return cast(VmaWalked, await self.ask(self.directory.mm, WalkVmas(address=address)))

    async def vma_start_read(self, vma: VmaSnapshot) -> VmaReadLocked:
        """Per-VMA locks H7: become a reader of the VMA, if that is possible at once."""
        locked: VmaReadLocked = await self.ask(self.directory.mm, VmaStartRead(vma_id=vma.vma_id))
        self.current.reads_vma = -1 if locked.vma is None else locked.vma.vma_id
        return locked

    def vma_end_read(self, vma: VmaSnapshot) -> None:
        """Per-VMA locks H3: drop the read lock."""
        self.current.reads_vma = -1
        self.spend(self.machine.atomic_ns)
        self.say(self.directory.mm, VmaEndRead(vma_id=vma.vma_id))

    async def vm_lock_read_trylock(self, vma: VmaSnapshot) -> VmaReadLocked:
        """Per-VMA locks of 6.4, H1: become a reader of the VMA's vm_lock, if no writer has it or waits for it."""
        locked: VmaReadLocked = await self.ask(self.directory.mm, VmLockTrylock(vma_id=vma.vma_id))
        self.current.read_locks = -1 if locked.vma is None else locked.vma.vma_id
        return locked

    def vm_lock_up_read(self, vma: VmaSnapshot) -> None:
        """Per-VMA locks of 6.4, H3: drop the read lock."""
        self.current.read_locks = -1
        self.spend(self.machine.atomic_ns)
        self.say(self.directory.mm, VmLockUpRead(vma_id=vma.vma_id))

    async def read_mmap_seq(self) -> int:
        """SPF of 2021, I1: read the mm's sequence count; odd while somebody holds mmap_sem for writing."""
        seen: MmapSeq = await self.ask(self.directory.mm, READ_MMAP_SEQ)
        return seen.sequence

    async def copy_vma(self, address: int) -> VmaSnapshot | None:
        """SPF of 2021, I2: walk the tree inside an RCU read section and copy the VMA; nothing keeps it."""
        found: VmaFound = await self.ask(self.directory.mm, CopyVma(address=address))
        return found.vma

    async def read_tree_seq(self, *, begin: bool = False) -> int:
        """SPF v12: read mm_seq; ``begin``: first wait until the tree is whole."""
        seen: TreeSeq = await self.ask(self.directory.mm, ReadTreeSeq(begin=begin))
        return seen.sequence

    async def ref_vma(self, vma: VmaSnapshot) -> VmaSnapshot | None:
        """Take a reference on a VMA that was just found, and read it again; None: it had been freed."""
        found: VmaFound = await self.ask(self.directory.mm, RefVma(vma_id=vma.vma_id))
        self.current.refers_to = -1 if found.vma is None else found.vma.vma_id
        return found.vma

    async def vma_atomic(self, vma: VmaSnapshot) -> None:
        """One atomic operation on a word of the VMA, for nothing: what a reference to it would cost (I7)."""
        await self.ask(self.directory.mm, VmaAtomic(vma_id=vma.vma_id))
