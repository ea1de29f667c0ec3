"""The envelope of a delivery, and the little that the engine needs to know of its receiver."""

from __future__ import annotations

from typing import Protocol, TypeAlias

from protocols.base import Message


class Party(Protocol):
    """Whoever sends or receives."""

    id: int
    name: str

    @property
    def says(self) -> frozenset[type[Message]]:
        """Message classes that it may post."""
        ...

    def receive(self, event: Event) -> None:
        """Handle one delivery."""
        ...


Event: TypeAlias = "tuple[int, Party, Party, int, Message]"
"""(at_ns, receiver, sender, tag, message). ``tag`` correlates a reply with its request: the server returns it.

A plain tuple, because a million of them are made in a few seconds: a named tuple costs five times as much to build.
"""


def describe(event: Event) -> str:
    """Return one deterministic line: time, sender, receiver, message."""
    at_ns, receiver, sender, tag, message = event
    return f"{at_ns:>12} {sender.name:>11} -> {receiver.name:<11} #{tag:<4} {show(message)}"


def show(message: Message) -> str:
    """Return the message as ``Name(field=value, ...)``."""
    fields = ", ".join(f"{name}={value!s}" for name, value in message)
    return f"{type(message).__name__}({fields})"
