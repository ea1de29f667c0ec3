"""What a part of the mm is: handlers, and the services of the actor that it belongs to."""

from __future__ import annotations

from typing import Any, Protocol

from kactors.engine.actor import Handler
from kactors.engine.engine import Engine
from kactors.engine.event import Event
from kactors.kernel.cache_line import Stores
from kactors.kernel.vma_tree import VmaTree
from protocols.base import Message
from protocols.machine import Machine

Who = tuple[Any, int]
"""A waiting request: the client actor and its tag."""


class Host(Protocol):
    """The mm actor, as its parts need it."""

    engine: Engine
    machine: Machine
    stores: Stores
    lock_sequence: int
    name: str
    id: int
    number: int

    @property
    def tree(self) -> VmaTree:
        """The areas of the process."""
        ...

    @property
    def says(self) -> frozenset[type[Message]]:
        """Message classes that the mm may post."""
        ...

    def receive(self, event: Event) -> None:
        """Handle one delivery."""
        ...

    def reply(self, at_ns: int, client: Any, tag: int, message: Message) -> None:
        """Answer a request."""
        ...

    def must_hold_mmap_sem(self, client: Any, tag: int, act: str, *, write: bool) -> None:
        """Tell that the client does what needs mmap_sem."""
        ...

    def count_section(self, at_ns: int, cpu: int, *, ends: bool) -> int:
        """Return when a writer of mmap_sem has moved mm_lock_seq."""
        ...

    def end_write_section(self) -> None:
        """End all per-VMA write locks."""
        ...


class Part:
    """One conversation of the mm."""

    def __init__(self, mm: Host) -> None:
        self.mm = mm
        self.machine = mm.machine

    @property
    def now_ns(self) -> int:
        """The instant of the delivery in progress."""
        return self.mm.engine.now_ns

    def handlers(self) -> dict[type[Message], Handler]:
        """Return the handler of each message that this part answers."""
        return {}
