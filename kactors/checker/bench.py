"""The engine that actors under search meet: it takes down what they say and tell, and delivers nothing by itself.

No time passes: every instant is 0, so computing takes no time and nobody is ahead of anybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from kactors.engine.choices import FirstChoice
from kactors.engine.engine import Engine
from kactors.engine.errors import ModelError
from kactors.engine.event import Event, Party
from protocols.base import Message, Tracepoint
from protocols.stop import AnyStop

WAYS_MAX = 256
"""A decision among more than this is a duration, and durations mean nothing here: the first is taken."""


class GivenChoices:
    """Makes the decisions that are given, in order; where none is given it takes the first way.

    Attributes:
        ways: how many there were at each decision that was asked for.
    """

    def __init__(self) -> None:
        self._given: Sequence[int] = ()
        self.ways: list[int] = []

    def give(self, given: Sequence[int]) -> None:
        """Begin anew with these decisions."""
        self._given = given
        self.ways = []

    def pick(self, label: str, n: int) -> int:
        """Return the next decision."""
        del label
        place = len(self.ways)
        self.ways.append(n if n <= WAYS_MAX else 1)
        return self._given[place] if place < len(self._given) else 0


class Bench(Engine):
    """Takes down what one delivery makes an actor do.

    Attributes:
        posts: (receiver, sender, tag, message), in the order in which they were said.
        told: (actor's name, tracepoint).
        born: actors made.
        next_id: the number of the next actor.
    """

    untimed: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__(FirstChoice())
        self.given = GivenChoices()
        self.choices = self.given
        self.posts: list[tuple[Any, Any, int, Message]] = []
        self.told: list[tuple[str, Tracepoint]] = []
        self.born: list[Any] = []
        self.next_id = 0
        self.heard: frozenset[type[Message]] = frozenset()

    def clear(self, given: Sequence[int], next_id: int) -> None:
        """Begin a new page."""
        self.given.give(given)
        self.posts, self.told, self.born = [], [], []
        self.stop = None
        self.next_id = next_id

    def register(self, actor: Any) -> int:
        """Give a new actor its number."""
        number = self.next_id
        self.born.append(actor)
        self.next_id += 1
        if number == len(self.actors):
            self.actors.append(actor)
        return number

    def post(self, at_ns: int, receiver: Party, sender: Party, message: Message, tag: int = 0) -> Event:
        """Take down what was said.

        Raises:
            ModelError: the sender has not declared that it says this.
        """
        if type(message) not in sender.says:
            raise ModelError(f"{sender.name} may not say {type(message).__name__}: its role does not declare it")
        self.posts.append((receiver, sender, tag, message))
        return (at_ns, receiver, sender, tag, message)

    def post_background(self, at_ns: int, receiver: Party, sender: Party, message: Message, tag: int = 0) -> None:
        """Forget a daemon's timer: without time it never rings."""
        del at_ns, receiver, sender, message, tag

    def emit(self, at_ns: int, actor: Party, tracepoint: Tracepoint) -> None:
        """Take down what was told, if somebody wants to hear it."""
        del at_ns
        if type(tracepoint) in self.heard:
            self.told.append((actor.name, tracepoint))

    def listens(self, kind: type[Tracepoint]) -> bool:
        """Return whether anybody wants to hear this."""
        return kind in self.heard

    def halt(self, stop: AnyStop) -> None:
        """Take down the first reason to stop."""
        if self.stop is None:
            self.stop = stop
