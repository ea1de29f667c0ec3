"""Locks exclude: one writer xor readers, and nobody unlocks or relies on what he does not hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, TypeAlias

from kactors.engine.observer import Finding, Hearing
from kactors.observers.properties.base import Property
from protocols.base import Tracepoint
from protocols.tracepoints import LockAcquired, LockNeeded, LockReleased

Lock: TypeAlias = tuple[str, int]
Owner: TypeAlias = tuple[str, int]
"""Where a thread was when it took the lock, and its tag: it may be on another CPU when it releases it."""


class LockExclusion(Property):
    """Of mmap_sem, each pmd_lock, PTE and page lock, and mm_rb_lock: one writer xor readers, and only owners unlock.

    Under mmap_sem VMAs are looked up (A3, C15), held for writing the tree changes (D1 to D4), one change at a time
    (mm_rb_lock, C1); PMD entries change under pmd_lock (E4, E6, E8); PTEs are set and cleared under the PTE lock (A9 to
    A11, C12, D3, E5): without it what a fault checked under the lock (A10, C12.iv) need not hold any more when it maps.
    """

    name: ClassVar[str] = "lock_exclusion"

    def __init__(self) -> None:
        self._writers: dict[Lock, Owner] = {}
        self._readers: dict[Lock, list[Owner]] = {}

    def tracepoints(self) -> Mapping[type[Tracepoint], Hearing]:
        """Hear locks taken, released and relied on."""
        return {LockAcquired: self._acquired, LockReleased: self._released, LockNeeded: self._needed}

    def _acquired(self, at_ns: int, _who: str, taken: LockAcquired) -> Finding:
        lock, owner = (taken.lock, taken.place), (taken.owner, taken.tag)
        excluded = lock in self._writers or (taken.write and bool(self._readers.get(lock)))
        holders = self._holders(lock)
        if taken.write:
            self._writers[lock] = owner
        else:
            self._readers.setdefault(lock, []).append(owner)
        if not excluded:
            return None
        return self.violated(
            f"{taken.owner} takes {_name(lock)}{_mode(lock, write=taken.write)} at {at_ns} ns while {holders}"
        )

    def _released(self, at_ns: int, _who: str, released: LockReleased) -> Finding:
        lock = (released.lock, released.place)
        owner = self._owner(lock, released.tag, write=released.write)
        if owner is not None and released.write:
            del self._writers[lock]
            return None
        if owner is not None:
            self._readers[lock].remove(owner)
            if not self._readers[lock]:
                del self._readers[lock]
            return None
        mode = _mode(lock, write=released.write)
        return self.violated(
            f"{released.owner} unlocks {_name(lock)} at {at_ns} ns without holding it{mode}: {self._holders(lock)}"
        )

    def _needed(self, at_ns: int, _who: str, needed: LockNeeded) -> Finding:
        lock, tag = (needed.lock, needed.place), needed.tag
        writes = self._owner(lock, tag, write=True) is not None
        if writes or (not needed.write and self._owner(lock, tag, write=False) is not None):
            return None
        mode = _mode(lock, write=needed.write)
        return self.violated(
            f"{needed.owner} {needed.act} at {at_ns} ns without holding {_name(lock)}{mode}: {self._holders(lock)}"
        )

    def _owner(self, lock: Lock, tag: int, *, write: bool) -> Owner | None:
        """Return the thread with this tag as an owner of the lock; None: it is none."""
        owners = [self._writers[lock]] if write and lock in self._writers else []
        if not write:
            owners = self._readers.get(lock, [])
        return next((owner for owner in owners if owner[1] == tag), None)

    def _holders(self, lock: Lock) -> str:
        """Say in words who holds the lock."""
        writer = self._writers.get(lock)
        if writer is not None:
            return f"{writer[0]} holds it{_mode(lock, write=True)}"
        readers = self._readers.get(lock)
        return f"{', '.join(name for name, _ in readers)} hold it for reading" if readers else "nobody holds it"


def _name(lock: Lock) -> str:
    name, place = lock
    match name:
        case "pmd_lock":
            return f"the pmd_lock of {place:#x}"
        case "pte_lock":
            return f"the PTE lock of page table {place}"
        case "page_lock":
            return f"the page lock of frame {place}"
    return name


def _mode(lock: Lock, *, write: bool) -> str:
    """Spinlocks and page locks have one mode only."""
    if lock[0] in ("pmd_lock", "pte_lock", "page_lock"):
        return ""
    return " for writing" if write else " for reading"
