"""VMAs: look-up, references, sequence counts, per-VMA locks, and the changes that mmap, munmap and mprotect make."""

from __future__ import annotations

import enum
from typing import Final

from protocols.base import Address, ByteCount, Count, FileId, Message, VmaId
from protocols.scheduling import CLIENTS


class VmaKind(enum.StrEnum):
    """What decides whether a VMA may be faulted speculatively (protocols.md C3, C5)."""

    ANON = "anon"
    FILE = "file"
    STACK = "stack"
    UFFD = "uffd"
    INTERLEAVE = "interleave"


class MappedFile(Message):
    """What a file area maps: the file from byte ``offset`` on; ``shared``: MAP_SHARED, else MAP_PRIVATE."""

    file: FileId
    offset: ByteCount
    shared: bool


class VmaSnapshot(Message):
    """What a fault handler reads of one VMA at one moment."""

    vma_id: VmaId
    start: Address
    end: Address
    readable: bool
    writable: bool
    kind: VmaKind
    anon_vma: bool
    hugepage: bool
    sequence: Count
    mapped_file: MappedFile | None = None


class FindVma(Message, sender=CLIENTS, receiver=("mm",), reply=("VmaFound",)):
    """Walk the tree under mmap_sem: the per-thread VMA cache, else O(log n)."""

    address: Address


class GetVma(Message, sender=("cpu",), receiver=("mm",), reply=("VmaFound",)):
    """SPF C1: look up under mm_rb_lock held for reading and take a reference on vm_ref_count."""

    address: Address


class PutVma(Message, sender=("cpu",), receiver=("mm",)):
    """SPF C15: drop a reference; the last one frees a detached VMA."""

    vma_id: VmaId


class VmaFound(Message, sender=("mm",), receiver=CLIENTS):
    """The VMA that holds the address, or None."""

    vma: VmaSnapshot | None


class ReadSequence(Message, sender=("cpu",), receiver=("mm",), reply=("VmaSequence",)):
    """SPF C9, C12: is the VMA still linked, and what is its vm_sequence."""

    vma_id: VmaId


class VmaSequence(Message, sender=("mm",), receiver=("cpu",)):
    """vm_sequence (odd while a writer is inside) and whether the node is still in the tree."""

    sequence: Count
    attached: bool


class ReadVma(Message, sender=("cpu",), receiver=("mm",), reply=("VmaRead",)):
    """SPF C15: under mmap_sem, read a VMA again through the pointer that a speculation kept."""

    vma_id: VmaId


class VmaRead(Message, sender=("mm",), receiver=("cpu",)):
    """What the VMA is now, and whether it is still in the tree."""

    vma: VmaSnapshot
    attached: bool


class AnonVmaPrepare(Message, sender=("cpu",), receiver=("mm",)):
    """Classic A8: the first fault of a VMA attaches its anon_vma."""

    vma_id: VmaId


class VmWriteBegin(Message, sender=CLIENTS, receiver=("mm",)):
    """Make vm_sequence odd: speculative faults in this VMA abort until VmWriteEnd."""

    vma_id: VmaId


class VmWriteEnd(Message, sender=CLIENTS, receiver=("mm",)):
    """Make vm_sequence even again."""

    vma_id: VmaId


class WalkVmas(Message, sender=("cpu",), receiver=("mm",), reply=("VmaWalked",)):
    """Per-VMA locks H1: find the VMA under rcu_read_lock, which keeps it from being freed but not from changing."""

    address: Address


class VmaWalked(Message, sender=("mm",), receiver=("cpu",)):
    """The VMA that holds the address, or None; ``writer``: its vm_lock_seq says that a writer owns it."""

    vma: VmaSnapshot | None
    writer: bool


class CopyVma(Message, sender=("cpu",), receiver=("mm",), reply=("VmaFound",)):
    """SPF of 2021, I2: walk the tree under RCU and copy the VMA; whether the copy is whole, mmap_seq tells."""

    address: Address


class ReadTreeSeq(Message, sender=("cpu",), receiver=("mm",), reply=("TreeSeq",)):
    """SPF v12: read the tree's sequence lock, mm_seq; ``begin``: spin first until no change is under way."""

    begin: bool


class TreeSeq(Message, sender=("mm",), receiver=("cpu",)):
    """mm_seq: odd while the tree is being changed."""

    sequence: Count


class RefVma(Message, sender=("cpu",), receiver=("mm",), reply=("VmaFound",)):
    """SPF v12, C1: take a reference on a VMA that a walk under RCU, or under mmap_sem, has found."""

    vma_id: VmaId


class VmaAtomic(Message, sender=("cpu",), receiver=("mm",), reply=("VmaAtomicDone",)):
    """One atomic operation on a word of the VMA: an experiment with what such a word would cost (I7)."""

    vma_id: VmaId


class VmaAtomicDone(Message, sender=("mm",), receiver=("cpu",)):
    """The cache line was the caller's for an instant."""


class VmaStartRead(Message, sender=("cpu",), receiver=("mm",), reply=("VmaReadLocked",)):
    """Per-VMA locks H7: count oneself into vm_refcnt, unless the VMA is detached or a writer is entering."""

    vma_id: VmaId


class VmaReadLocked(Message, sender=("mm",), receiver=("cpu",)):
    """The VMA as it is, with its reader counted; None: detached, or a writer is entering (then ``writer`` is true).

    With a VMA, ``writer`` is what its vm_lock_seq says now.
    """

    vma: VmaSnapshot | None
    writer: bool


class VmaEndRead(Message, sender=("cpu",), receiver=("mm",)):
    """Per-VMA locks H3: drop the read lock; the last reader wakes a waiting writer."""

    vma_id: VmaId


class VmLockTrylock(Message, sender=("cpu",), receiver=("mm",), reply=("VmaReadLocked",)):
    """Per-VMA locks of 6.4, H1: down_read_trylock of the VMA's vm_lock, which lies in a cache line of its own.

    Answered as VmaStartRead: a VMA that was detached is let go again at once.
    """

    vma_id: VmaId


class VmLockUpRead(Message, sender=("cpu",), receiver=("mm",)):
    """Per-VMA locks of 6.4, H3: up_read of vm_lock; the last reader wakes a waiting writer."""

    vma_id: VmaId


class VmaStartWrite(Message, sender=CLIENTS, receiver=("mm",), reply=("VmaWriteLocked", "MustSleep")):
    """Per-VMA locks H5, H8: lock every VMA in the range for writing; sleeps until their readers are gone.

    Without ``wait`` it does not care for them.
    """

    start: Address
    end: Address
    wait: bool


class VmaWriteLocked(Message, sender=("mm",), receiver=CLIENTS):
    """The VMAs are write-locked until mmap_sem is released or downgraded."""


class MmapRegion(Message, sender=("cpu",), receiver=("mm",), reply=("RegionMapped", "MustSleep")):
    """Create or extend a VMA (D2). ``address`` -1 lets the mm choose, top down, as get_unmapped_area does."""

    address: Address
    length: ByteCount
    readable: bool
    writable: bool
    kind: VmaKind
    mapped_file: MappedFile | None = None


class RegionMapped(Message, sender=("mm",), receiver=("cpu",)):
    """Where it was mapped, and whether a neighbour was extended instead of a new VMA created."""

    address: Address
    merged: bool


class MoveBrk(Message, sender=("cpu",), receiver=("mm",), reply=("BrkMoved",)):
    """brk: set mm->brk, unless ``address`` is below the heap's start: then nothing changes."""

    address: Address


class BrkMoved(Message, sender=("mm",), receiver=("cpu",)):
    """Where mm->brk was, and where it is now."""

    previous: Address
    brk: Address


class DetachRegion(Message, sender=("cpu",), receiver=("mm",), reply=("RegionVmas", "MustSleep")):
    """munmap D3: split both ends and erase the VMAs from the tree."""

    start: Address
    end: Address


class SplitRegion(Message, sender=("cpu",), receiver=("mm",), reply=("RegionVmas", "MustSleep")):
    """mprotect and madvise D4, D5: split at both ends, so that whole VMAs can change."""

    start: Address
    end: Address


class RegionVmas(Message, sender=("mm",), receiver=("cpu",)):
    """The VMAs inside the range, in address order."""

    vmas: tuple[VmaSnapshot, ...]


class SetVmaFlags(Message, sender=("cpu",), receiver=("mm",)):
    """Change protection or the MADV_HUGEPAGE flag of a whole VMA, inside a write section."""

    vma_id: VmaId
    readable: bool
    writable: bool
    hugepage: bool


class MergeRegion(Message, sender=("cpu",), receiver=("mm",), reply=("RegionMerged",)):
    """Merge equal neighbours in and around the range (D1)."""

    start: Address
    end: Address


class RegionMerged(Message, sender=("mm",), receiver=("cpu",)):
    """How many VMAs were absorbed."""

    absorbed: Count


class AdjustDone(Message, sender=("mm",), receiver=("mm",)):
    """To oneself: the tree change that began with vm_sequence odd and mm_rb_lock held for writing is complete."""


class SpfEnter(Message, sender=("cpu",), receiver=("mm",), reply=("SpfAdmitted", "MustSleep")):
    """A speculation asks to begin, where ``bounds.spf_inflight_max`` is set."""

    address: Address


class SpfAdmitted(Message, sender=("mm",), receiver=("cpu",)):
    """False sends the fault to the classic path."""

    admitted: bool


class SpfExit(Message, sender=("cpu",), receiver=("mm",)):
    """A bounded speculation has ended, either way."""

    address: Address


ADJUST_DONE: Final = AdjustDone()
VMA_ATOMIC_DONE: Final = VmaAtomicDone()
VMA_WRITE_LOCKED: Final = VmaWriteLocked()
NO_VMA: Final = VmaFound(vma=None)
