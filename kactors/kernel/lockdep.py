"""What lockdep would hear of a lock: its actor tells who takes it, releases it, and relies on it.

The hottest paths ask ``engine.listens`` themselves before they call: a call that does nothing is 1 % of a run.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from kactors.engine.engine import Engine
from protocols.tracepoints import LockAcquired, LockNeeded, LockReleased

Who: TypeAlias = tuple[Any, int]
"""A thread: the actor that it runs on, and the tag of its requests."""

MMAP_SEM, PMD_LOCK, PTE_LOCK, MM_RB_LOCK = "mmap_sem", "pmd_lock", "pte_lock", "mm_rb_lock"


def tell_acquired(engine: Engine, actor: Any, lock: str, who: Who, *, place: int = 0, write: bool = True) -> None:
    """The client owns the lock from now on."""
    if engine.listens(LockAcquired):
        acquired = LockAcquired(lock=lock, place=place, write=write, owner=who[0].name, tag=who[1])
        engine.emit(engine.now_ns, actor, acquired)


def tell_released(engine: Engine, actor: Any, lock: str, who: Who, *, place: int = 0, write: bool = True) -> None:
    """The client says that it releases the lock."""
    if engine.listens(LockReleased):
        released = LockReleased(lock=lock, place=place, write=write, owner=who[0].name, tag=who[1])
        engine.emit(engine.now_ns, actor, released)


def tell_needed(
    engine: Engine, actor: Any, lock: str, who: Who, act: str, *, place: int = 0, write: bool = True
) -> None:
    """The client does something for which it must hold the lock."""
    if engine.listens(LockNeeded):
        needed = LockNeeded(lock=lock, place=place, write=write, owner=who[0].name, tag=who[1], act=act)
        engine.emit(engine.now_ns, actor, needed)
