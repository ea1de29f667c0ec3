"""A shelf of named things that clients make, sessions or searches: who may put one there, and how it is found again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import dropwhile, islice
from typing import Any, Generic, TypeVar

import trio

from kactors.service.quotas import quota
from kactors.service.subscriber import Subscriber, Subscribers
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.server import Limits


class Named(ABC):
    """A thing.

    Args:
        name: which no other session or search has.
        client: who made it.
        key: with which; no two things of a client on a shelf have the same.
        request: what was asked for with that key, as JSON has it.

    Attributes:
        subscribers: those who are told of it.
    """

    def __init__(self, name: str, client: str, key: str | None, request: dict[str, Any] | None) -> None:
        self.name = name
        self.client = client
        self.key = key
        self.request = request
        self.subscribers = Subscribers(name)

    @property
    @abstractmethod
    def state(self) -> str:
        """What it is doing now."""


Thing = TypeVar("Thing", bound=Named)


@dataclass(frozen=True)
class Quota:
    """How many things there may be: of one client where the limit is named so, else of all.

    Attributes:
        limit: which of ``Limits``.
        what: those that there are, in words.
        state: in which a thing counts; one that is being made always does. None: in any.
    """

    limit: str
    what: str
    state: str | None = None


@dataclass(frozen=True)
class Kind:
    """What is on a shelf, in the words that a client hears.

    Attributes:
        field: which key of an error's data names it.
        quotas: asked in this order when one is to be made.
    """

    noun: str
    field: str
    listed_by: str
    unknown: ErrorCode
    quotas: tuple[Quota, ...]


class Shelf(Generic[Thing]):
    """Things in the order of their making.

    Args:
        kind: what they are.
        limits: values of its quotas.
        taken: names of all things of the service, those that are being made included; shelves share it.
    """

    def __init__(self, kind: Kind, limits: Limits, taken: set[str]) -> None:
        self.limits = limits
        self._kind = kind
        self._taken = taken
        self._things: dict[str, Thing] = {}
        self._keys: dict[tuple[str, str], str] = {}
        self._key_locks: dict[tuple[str, str], trio.Lock] = {}
        self._reserved: dict[str, str] = {}
        """Names of things that are being made, and for whom."""

    def __getitem__(self, name: str) -> Thing:
        """Return a thing.

        Raises:
            ServiceError: there is none of that name.
        """
        try:
            return self._things[name]
        except KeyError:
            kind = self._kind
            message = f"there is no {kind.noun} {name}; {kind.listed_by} shows those there are"
            raise ServiceError(kind.unknown, message, {kind.field: name}) from None

    def __contains__(self, name: str) -> bool:
        return name in self._things or name in self._reserved

    def __len__(self) -> int:
        return len(self._things)

    def __iter__(self) -> Iterator[Thing]:
        return iter(list(self._things.values()))

    def find(self, name: str) -> Thing | None:
        """Return a thing, or None: it was deleted meanwhile."""
        return self._things.get(name)

    def states(self) -> Counter[str]:
        """Return how many things are in each state."""
        return Counter(thing.state for thing in self._things.values())

    def page(self, after: str | None, limit: int, state: str | None) -> tuple[list[Thing], bool]:
        """Return at most so many things in a state, those after a name, and whether there are more.

        Raises:
            ServiceError: there is none of that name.
        """
        things: Iterable[Thing] = self._things.values()
        if after is not None:
            last = self[after]
            things = islice(dropwhile(lambda thing: thing is not last, things), 1, None)
        page = list(islice((thing for thing in things if state is None or thing.state == state), limit + 1))
        return page[:limit], len(page) > limit

    def put(self, thing: Thing) -> None:
        """Keep a thing; its name is reserved, or it comes from the store."""
        self._taken.add(thing.name)
        self._things[thing.name] = thing
        if thing.key is not None:
            self._keys[thing.client, thing.key] = thing.name

    def remove(self, thing: Thing) -> None:
        """Forget a thing, its name and its key."""
        self._taken.discard(thing.name)
        self._things.pop(thing.name, None)
        if thing.key is not None:
            self._keys.pop((thing.client, thing.key), None)

    # --- making one --------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def once(self, client: str, key: str | None, request: dict[str, Any]) -> AsyncIterator[Thing | None]:
        """Yield the thing that was made with the key, or None: then it is made inside, and nobody else makes it.

        Raises:
            ServiceError: CONFLICT: the key was used with other params.
        """
        if key is None:
            yield None
            return
        lock = self._key_locks.setdefault((client, key), trio.Lock())
        try:
            async with lock:
                made = self._things.get(self._keys.get((client, key), ""))
                if made is not None and made.request != request:
                    message = f"the key {key} was used with other params, for {made.name}; take another key"
                    raise ServiceError(ErrorCode.CONFLICT, message, {self._kind.field: made.name})
                yield made
        finally:
            if not lock.locked():  # else somebody has waited for it, and cleans up after himself
                self._key_locks.pop((client, key), None)

    @contextmanager
    def reserve(self, name: str, client: str) -> Iterator[None]:
        """Hold a name and a place while a thing is made.

        Raises:
            ServiceError: CONFLICT or QUOTA.
        """
        if name in self._taken:
            message = f"there is a session or a search {name} already"
            raise ServiceError(ErrorCode.CONFLICT, message, {self._kind.field: name})
        for each in self._kind.quotas:
            self._need_place(each, client)
        self._taken.add(name)
        self._reserved[name] = client
        try:
            yield
        finally:
            del self._reserved[name]
            if name not in self._things:
                self._taken.discard(name)

    def _need_place(self, asked: Quota, client: str) -> None:
        owners = [thing.client for thing in self._things.values() if asked.state in (None, thing.state)]
        owners += self._reserved.values()
        there_are = owners.count(client) if asked.limit.endswith("_per_client_max") else len(owners)
        most: int = getattr(self.limits, asked.limit)
        if there_are >= most:
            raise quota(asked.limit, most, asked.what)

    # --- subscriptions -----------------------------------------------------------------------------------------------

    def subscribers(self) -> Iterator[Subscriber]:
        """Yield everybody who is told of a thing."""
        for thing in self._things.values():
            yield from thing.subscribers

    def subscription(self, number: int) -> tuple[Thing, Subscriber] | None:
        """Return the thing of which a subscription tells, and the subscription; None: there is none of that number."""
        for thing in self._things.values():
            subscriber = thing.subscribers.find(number)
            if subscriber is not None:
                return thing, subscriber
        return None
