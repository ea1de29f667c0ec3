"""Who may say and hear what, from the messages' own declarations."""

from __future__ import annotations

from functools import cache

from protocols import (
    allocation,
    barrier,
    host,
    mmap_sem,
    page_cache,
    page_table,
    pipe,
    rcu,
    scheduling,
    set_up,
    tlb,
    tracepoints,
    vma,
)
from protocols.base import Message, Tracepoint, vocabulary

CONVERSATIONS = (scheduling, mmap_sem, vma, page_table, page_cache, pipe, barrier, tlb, rcu, allocation, host, set_up)
"""Every module that declares messages of actors: importing this module makes the vocabulary complete."""

TRACEPOINTS = tracepoints


@cache
def messages() -> tuple[type[Message], ...]:
    """Return every message class that one actor sends to another."""
    return tuple(cls for cls in vocabulary() if not issubclass(cls, Tracepoint))


@cache
def heard_by(role: str) -> frozenset[type[Message]]:
    """Return the message classes that a role receives."""
    return frozenset(cls for cls in messages() if role in cls.receivers)


@cache
def said_by(role: str) -> frozenset[type[Message]]:
    """Return the message classes that a role sends."""
    return frozenset(cls for cls in messages() if role in cls.senders)
