"""Group commit: what many sessions want written at one moment goes to the disk in one transaction."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import trio

from kactors.service.metrics import Metrics
from kactors.service.store import Store, Write
from protocols.service.errors import ErrorCode, ServiceError


@dataclass
class Group:
    """Writes that stand or fall together, and who waits for them."""

    writes: Sequence[Write]
    done: trio.Event = field(default_factory=trio.Event)
    error: ServiceError | None = None


class Committer:
    """The only user of the store while the service runs: every call goes to it through one thread at a time.

    Args:
        store: where to.
        metrics: told how long each commit took.
        stored_bytes_max: what adds to the store is refused above this.
    """

    def __init__(self, store: Store, metrics: Metrics, stored_bytes_max: int) -> None:
        self._store = store
        self._metrics = metrics
        self._stored_bytes_max = stored_bytes_max
        self._groups: list[Group] = []
        self._wanted = trio.Event()
        self._turn = trio.Lock()
        self._closed = False
        self.stored_bytes = store.stored_bytes()

    async def commit(self, *writes: Write) -> None:
        """Write all or nothing, and return when it is on the disk.

        Raises:
            ServiceError: STORE: nothing of it was written.
        """
        if self._closed:
            raise _ending()
        group = Group(writes)
        self._groups.append(group)
        self._wanted.set()
        # Whoever is cancelled now could not tell whether it was written.
        with trio.CancelScope(shield=True):
            await group.done.wait()
        if group.error is not None:
            raise group.error

    def need_room(self) -> None:
        """Refuse what would add to a full store.

        Raises:
            ServiceError: QUOTA.
        """
        if self.stored_bytes > self._stored_bytes_max:
            message = f"the store holds {self.stored_bytes} bytes; delete sessions before you add to it"
            limit = {"limit": "stored_bytes_max", "value": self._stored_bytes_max}
            raise ServiceError(ErrorCode.QUOTA, message, limit)

    async def result(self, session: str) -> dict[str, object] | None:
        """Return a session's stored result."""
        async with self._turn:
            return await trio.to_thread.run_sync(self._store.result, session)

    async def search_result(self, search: str) -> dict[str, object] | None:
        """Return a search's stored result."""
        async with self._turn:
            return await trio.to_thread.run_sync(self._store.search_result, search)

    async def run(self) -> None:
        """Commit what comes, until cancelled."""
        try:
            while True:
                await self._wanted.wait()
                self._wanted = trio.Event()
                groups, self._groups = self._groups, []
                with trio.CancelScope(shield=True):
                    await self._commit(groups)
        finally:
            # Nobody is to wait for a commit that never comes.
            self._closed = True
            for group in self._groups:
                group.error = _ending()
                group.done.set()

    async def _commit(self, groups: list[Group]) -> None:
        began_s = time.perf_counter()
        async with self._turn:
            errors = await trio.to_thread.run_sync(self._store.commit, [group.writes for group in groups])
            self.stored_bytes = self._store.stored_bytes()
        self._metrics.store_commit(time.perf_counter() - began_s)
        for group, error in zip(groups, errors, strict=True):
            group.error = error
            group.done.set()


def _ending() -> ServiceError:
    return ServiceError(ErrorCode.SHUTTING_DOWN, "the service is ending, and the store is closed")
