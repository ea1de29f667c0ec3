"""What lockdep would hear of a lock: its actor tells who takes it, releases it, and relies on it.

The hottest paths ask ``engine.listens`` themselves before they call: a call that does nothing is 1 % of a run.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeAlias

from kactors.engine.engine import Engine
from protocols.tracepoints import LockAcquired, LockNeeded, LockReleased

Who: TypeAlias = tuple[Any, int]
"""A thread: the actor that it runs on, and the tag of its requests."""

MMAP_SEM, PMD_LOCK, PTE_LOCK, MM_RB_LOCK = "mmap_sem", "pmd_lock", "pte_lock", "mm_rb_lock"
PAGE_LOCK = "page_lock"


TOLD_KEPT = 4096
"""The same threads take the same locks again and again: a tracepoint that is kept costs a tenth of a new one."""


@lru_cache(maxsize=TOLD_KEPT)
def _acquired(lock: str, place: int, owner: str, tag: int, *, write: bool) -> LockAcquired:
    return LockAcquired(lock=lock, place=place, write=write, owner=owner, tag=tag)


@lru_cache(maxsize=TOLD_KEPT)
def _released(lock: str, place: int, owner: str, tag: int, *, write: bool) -> LockReleased:
    return LockReleased(lock=lock, place=place, write=write, owner=owner, tag=tag)


@lru_cache(maxsize=TOLD_KEPT)
def _needed(lock: str, place: int, owner: str, tag: int, act: str, *, write: bool) -> LockNeeded:
    return LockNeeded(lock=lock, place=place, write=write, owner=owner, tag=tag, act=act)


def tell_acquired(engine: Engine, actor: Any, lock: str, who: Who, *, place: int = 0, write: bool = True) -> None:
    """The client owns the lock from now on."""
    if engine.listens(LockAcquired):
        engine.emit(engine.now_ns, actor, _acquired(lock, place, who[0].name, who[1], write=write))


def tell_released(engine: Engine, actor: Any, lock: str, who: Who, *, place: int = 0, write: bool = True) -> None:
    """The client says that it releases the lock."""
    if engine.listens(LockReleased):
        engine.emit(engine.now_ns, actor, _released(lock, place, who[0].name, who[1], write=write))


def tell_needed(
    engine: Engine, actor: Any, lock: str, who: Who, act: str, *, place: int = 0, write: bool = True
) -> None:
    """The client does something for which it must hold the lock."""
    if engine.listens(LockNeeded):
        engine.emit(engine.now_ns, actor, _needed(lock, place, who[0].name, who[1], act, write=write))
