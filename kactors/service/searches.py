"""All searches of one service: begun, found, listed, forgotten, and begun anew after a restart."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from typing import Any

from kactors.service.home import Home
from kactors.service.search import Search
from kactors.service.shelf import Kind, Quota, Shelf
from kactors.service.store import DeleteSearch, SearchRecord, StartSearch
from kactors.service.workers import WorkerLostError
from protocols.service import searches
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.searches import SearchState

KIND = Kind(
    "search",
    "check",
    "check.list",
    ErrorCode.UNKNOWN_SEARCH,
    (
        Quota("searches_max", "searches, of all clients"),
        Quota("searches_per_client_max", "searches of yours; delete one"),
        Quota(
            "searches_running_max",
            "searches that run, of all clients; try again when one has ended",
            SearchState.RUNNING,
        ),
        Quota("searches_running_per_client_max", "searches of yours that run; cancel one", SearchState.RUNNING),
    ),
)


class Searches(Shelf[Search]):
    """The searches.

    Args:
        home: the service.
        build: fingerprint of the simulator.
        taken: names of sessions and searches.
    """

    def __init__(self, home: Home, build: str, taken: set[str]) -> None:
        super().__init__(KIND, home.limits, taken)
        self._home = home
        self._build = build

    # --- all of them -------------------------------------------------------------------------------------------------

    def load(self, records: Iterable[SearchRecord]) -> None:
        """Take the searches that the store has; those that had not ended begin anew, and come to the same."""
        for record in records:
            self._add(Search(record, self._home))

    def list(self, params: searches.CheckListParams) -> searches.CheckList:
        """Return a page of the searches, oldest first."""
        page, more = self.page(params.after, params.limit, params.state)
        return searches.CheckList(checks=tuple(search.stats() for search in page), more=more)

    # --- one ---------------------------------------------------------------------------------------------------------

    async def start(self, params: searches.CheckStartParams, client: str) -> searches.CheckStarted:
        """Begin a search, or return the one that was begun with this key."""
        request = params.model_dump(mode="json", exclude_unset=True)
        async with self.once(client, params.key, request) as existing:
            if existing is not None:
                return searches.CheckStarted(**dict(existing.stats()), existing=True)
            name = params.name or f"check-{secrets.token_hex(4)}"
            with self.reserve(name, client):
                self._home.committer.need_room()
                record = SearchRecord(
                    search=name, client=client, params=params, build=self._build, created_at=time.time()
                )
                search = Search(record, self._home)
                await self._examine(search)
                await self._home.committer.commit(StartSearch(record))
                self._add(search)
        return searches.CheckStarted(**dict(search.stats()))

    async def delete(self, name: str) -> searches.CheckDeleted:
        """Forget a search; one that runs is ended."""
        search = self[name]
        search.abandon()
        await self._home.committer.commit(DeleteSearch(name))
        self.remove(search)
        search.farewell()
        return searches.CheckDeleted(check=name)

    def told(self, params: dict[str, Any]) -> None:
        """Take a worker's notification of how far a search is."""
        search = self.find(params["session"])
        if search is not None and search.running:
            search.progressed(params["numbers"])

    def _add(self, search: Search) -> None:
        self.put(search)
        if search.running:
            self._home.start_soon(search.run)

    async def _examine(self, search: Search) -> None:
        """Refuse what cannot be searched, before anything is written.

        Raises:
            ServiceError: BAD_SCENARIO, or what its policy does to a worker.
        """
        try:
            await self._home.workers.least_searched().order("examine", session=search.name, **search.order())
        except WorkerLostError as lost:
            raise ServiceError(ErrorCode.WORKER_LOST, f"{lost}; {search.name} was not begun") from lost
