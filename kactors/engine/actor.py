"""What an actor is: a name, a vocabulary that the engine enforces, and one entry for messages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias

from kactors.engine.engine import Engine
from kactors.engine.errors import IllegalMessage
from kactors.engine.event import Event, show
from kactors.engine.waits import Blocked, Holder
from protocols.base import Message

Handler: TypeAlias = Callable[[Any, Any, int], None]
"""A server's handler: (message, client, tag)."""


class Actor(ABC):
    """Owns its state alone and meets the others by messages only.

    Attributes:
        role: one of cpu, mm, ptl, khugepaged, allocator and so on: the word used in the messages' directions.
        hears: message classes that it accepts; anything else is IllegalMessage.
        says: message classes that it may post; anything else is ModelError.
    """

    role: ClassVar[str]
    hears: ClassVar[frozenset[type[Message]]] = frozenset()
    says: ClassVar[frozenset[type[Message]]] = frozenset()

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine = engine
        self.name = name
        self.id = engine.register(self)

    def __repr__(self) -> str:
        return self.name

    @abstractmethod
    def receive(self, event: Event) -> None:
        """Handle one delivery."""

    def blocked(self) -> list[Blocked]:
        """Return what this actor's threads wait for, when nothing is left to deliver."""
        return []

    def holder(self, client: Actor, tag: int) -> Holder | None:
        """Return what keeps a client's unanswered request waiting, or None when this actor owes nothing."""
        del client, tag
        return None

    def node(self, tag: int) -> str:
        """Return the name under which the wait-for graph knows the holder of a lock taken with ``tag``."""
        del tag
        return self.name


class Server(Actor):
    """A total, synchronous state machine over (state, message): handle, postpone or refuse.

    Subclasses list a handler for each class in ``hears``; a message without handler is illegal.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        super().__init__(engine, name)
        self._handlers: dict[type[Message], Handler] = self.handlers()

    @abstractmethod
    def handlers(self) -> dict[type[Message], Handler]:
        """Return the handler of every message class in ``hears``."""

    def receive(self, event: Event) -> None:
        """Handle one delivery."""
        message = event[4]
        handler = self._handlers.get(type(message))
        if handler is None:
            self.refuse(message, event[2])
        else:
            handler(message, event[2], event[3])

    def refuse(self, message: Message, sender: Any) -> None:
        """Raise IllegalMessage: the sender may not say this to an actor in this state."""
        raise IllegalMessage(f"{self.name} does not accept {show(message)} from {sender.name} in its present state")

    def reply(self, at_ns: int, client: Any, tag: int, message: Message) -> None:
        """Answer a request at ``at_ns``."""
        self.engine.post(at_ns, client, self, message, tag)
