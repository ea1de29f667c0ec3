"""All searches of one service: begun, found, listed, forgotten, and begun anew after a restart."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import dropwhile, islice
from typing import Any

import trio

from kactors.service.committer import Committer
from kactors.service.quotas import quota
from kactors.service.search import Search
from kactors.service.store import DeleteSearch, SearchRecord, StartSearch
from kactors.service.subscriber import Send, Subscriber
from kactors.service.workers import WorkerLostError, Workers
from protocols.service import searches
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.server import Limits

StartSoon = Callable[[Callable[[], Awaitable[None]]], None]


class Searches:
    """The searches.

    Args:
        workers: where they compute.
        committer: where they are kept.
        limits: quotas.
        build: fingerprint of the simulator.
        start_soon: runs a task that outlives the request that began it.
        taken: whether a session has a name; searches have other ones.
    """

    def __init__(
        self,
        workers: Workers,
        committer: Committer,
        limits: Limits,
        build: str,
        start_soon: StartSoon,
        taken: Callable[[str], bool],
    ) -> None:
        self._workers = workers
        self._committer = committer
        self._limits = limits
        self._build = build
        self._start_soon = start_soon
        self._taken = taken
        self._searches: dict[str, Search] = {}
        self._key_locks: dict[tuple[str, str], trio.Lock] = {}
        self._reserved: dict[str, str] = {}
        """Names of searches that are being begun, and for whom."""

    # --- all of them -------------------------------------------------------------------------------------------------

    def load(self, records: Iterable[SearchRecord]) -> None:
        """Take the searches that the store has; those that had not ended begin anew, and come to the same."""
        for record in records:
            self._add(Search(record, self._workers, self._committer, self._limits))

    def __getitem__(self, name: str) -> Search:
        """Return a search.

        Raises:
            ServiceError: UNKNOWN_SEARCH.
        """
        try:
            return self._searches[name]
        except KeyError:
            message = f"there is no search {name}; check.list shows those there are"
            raise ServiceError(ErrorCode.UNKNOWN_SEARCH, message, {"check": name}) from None

    def __contains__(self, name: str) -> bool:
        return name in self._searches or name in self._reserved

    def __len__(self) -> int:
        return len(self._searches)

    def __iter__(self) -> Iterator[Search]:
        return iter(list(self._searches.values()))

    def list(self, params: searches.CheckListParams) -> searches.CheckList:
        """Return a page of the searches, oldest first."""
        found = iter(self._searches.values())
        if params.after is not None:
            last = self[params.after]
            found = islice(dropwhile(lambda search: search is not last, found), 1, None)
        wanted = (search for search in found if params.state is None or search.record.state is params.state)
        page = list(islice(wanted, params.limit + 1))
        stats = tuple(search.stats() for search in page[: params.limit])
        return searches.CheckList(checks=stats, more=len(page) > params.limit)

    # --- one ---------------------------------------------------------------------------------------------------------

    async def start(self, params: searches.CheckStartParams, client: str) -> searches.CheckStarted:
        """Begin a search, or return the one that was begun with this key."""
        async with self._once(client, params) as existing:
            if existing is not None:
                return searches.CheckStarted(**dict(existing.stats()), existing=True)
            name = params.name or f"check-{secrets.token_hex(4)}"
            with self._reserve(name, client):
                record = SearchRecord(
                    search=name, client=client, params=params, build=self._build, created_at=time.time()
                )
                search = Search(record, self._workers, self._committer, self._limits)
                await self._examine(search)
                await self._committer.commit(StartSearch(record))
                self._add(search)
        return searches.CheckStarted(**dict(search.stats()))

    async def delete(self, name: str) -> searches.CheckDeleted:
        """Forget a search; one that runs is ended."""
        search = self[name]
        search.abandon()
        await self._committer.commit(DeleteSearch(name))
        self._searches.pop(name, None)
        search.farewell()
        return searches.CheckDeleted(check=name)

    def told(self, params: dict[str, Any]) -> None:
        """Take a worker's notification of how far a search is."""
        search = self._searches.get(params["session"])
        if search is not None and search.running:
            search.progressed(params["numbers"])

    # --- subscriptions -----------------------------------------------------------------------------------------------

    def subscribers(self) -> Iterator[Subscriber]:
        """Yield everybody who is told how far a search is."""
        for search in self._searches.values():
            yield from search.subscribers

    def subscribed(self, number: int, send: Send) -> Search | None:
        """Return the search to which a client has a subscription; None: there is none of that number, or not his."""
        for search in self._searches.values():
            subscriber = search.subscribers.find(number)
            if subscriber is not None and subscriber.send == send:
                return search
        return None

    # --- inside ------------------------------------------------------------------------------------------------------

    def _add(self, search: Search) -> None:
        self._searches[search.name] = search
        if search.running:
            self._start_soon(search.run)

    async def _examine(self, search: Search) -> None:
        """Refuse what cannot be searched, before anything is written.

        Raises:
            ServiceError: BAD_SCENARIO, or what its policy does to a worker.
        """
        try:
            await self._workers.least_searched().order("examine", session=search.name, **search.order())
        except WorkerLostError as lost:
            raise ServiceError(ErrorCode.WORKER_LOST, f"{lost}; {search.name} was not begun") from lost

    @asynccontextmanager
    async def _once(self, client: str, params: searches.CheckStartParams) -> AsyncIterator[Search | None]:
        """Yield the search that was begun with the key, or None: then it is begun inside, and nobody else begins it.

        Raises:
            ServiceError: CONFLICT: the key was used with other params.
        """
        key = params.key
        if key is None:
            yield None
            return
        lock = self._key_locks.setdefault((client, key), trio.Lock())
        try:
            async with lock:
                made = self._of_key(client, key)
                if made is not None and _given(made.record.params) != _given(params):
                    message = f"the key {key} was used with other params, for {made.name}; take another key"
                    raise ServiceError(ErrorCode.CONFLICT, message, {"check": made.name})
                yield made
        finally:
            if not lock.locked():  # else somebody has waited for it, and cleans up after himself
                self._key_locks.pop((client, key), None)

    def _of_key(self, client: str, key: str) -> Search | None:
        owned = (search for search in self._searches.values() if search.record.client == client)
        return next((search for search in owned if search.record.params.key == key), None)

    @contextmanager
    def _reserve(self, name: str, client: str) -> Iterator[None]:
        """Hold a name and a place while a search is begun.

        Raises:
            ServiceError: CONFLICT or QUOTA.
        """
        if name in self or self._taken(name):
            message = f"there is a search or a session {name} already"
            raise ServiceError(ErrorCode.CONFLICT, message, {"check": name})
        limits, begun = self._limits, list(self._reserved.values())
        kept = [search.record.client for search in self._searches.values()]
        running = [search.record.client for search in self._searches.values() if search.running]
        for limit, owners, mine, what in (
            ("searches_max", kept, False, "searches, of all clients"),
            ("searches_per_client_max", kept, True, "searches of yours; delete one"),
            ("searches_running_max", running, False, "searches that run, of all clients; try again when one has ended"),
            ("searches_running_per_client_max", running, True, "searches of yours that run; cancel one"),
        ):
            most: int = getattr(limits, limit)
            if sum(not mine or owner == client for owner in (*owners, *begun)) >= most:
                raise quota(limit, most, what)
        self._committer.need_room()
        self._reserved[name] = client
        try:
            yield
        finally:
            del self._reserved[name]


def _given(params: searches.CheckStartParams) -> dict[str, Any]:
    return params.model_dump(mode="json", exclude_unset=True)
