"""A session's place in a worker: taken when it is needed, lost with the worker, and found again by replay."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import trio

from kactors.service.workers import Worker, WorkerLostError, Workers
from protocols.scenario import Scenario
from protocols.service.commands import Entry, Position
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.server import Limits

REPLACED_S = 0.05
LOSSES_MAX = 20
"""An order that has lost so many workers is given up, whoever ended them."""
CRASHES_MAX = 2
"""A session whose turn it was when a worker ended, so many times in a row, is not tried again."""


@dataclass(frozen=True)
class History:
    """What leads to a session's machine. ``target`` None: as far as the log goes, and on to ``until_events``."""

    scenario: Scenario
    log: Sequence[Entry]
    target: Position | None
    until_events: int | None = None


class Seat:
    """One session's place.

    Args:
        session: its name.
        workers: where there are places.
        limits: quotas, told to the worker.
        history: what to replay when a place is taken.
        opened: called with the worker when a machine was brought there, and with what the worker said.

    Attributes:
        used_s: when it was last used, on a monotonic clock.
    """

    def __init__(
        self,
        session: str,
        workers: Workers,
        limits: Limits,
        history: Callable[[], History],
        opened: Callable[[Worker, dict[str, Any]], Awaitable[None]],
    ) -> None:
        self.used_s = 0.0
        self._session = session
        self._workers = workers
        self._limits = limits
        self._history = history
        self._opened = opened
        self._worker: Worker | None = None
        self._opening = trio.Lock()
        self._crashes = 0
        self.changes = 0
        """How often the machine was given up: what was begun in one that is gone tells nothing of the next."""
        self.gone = False
        """The session is deleted."""

    @property
    def worker(self) -> Worker | None:
        """Where the machine is now; None: nowhere."""
        return None if self._worker is None or self._worker.gone else self._worker

    async def order(self, name: str, **params: Any) -> Any:
        """Give an order about the session, in a worker that has its machine.

        Raises:
            ServiceError: it cannot be carried out; WORKER_LOST: it ended the worker, more than once.
        """
        losses = 0
        while True:
            try:
                worker = await self._take()
                answer = await worker.order(name, session=self._session, **params)
            except WorkerLostError as lost:
                losses += 1
                await self._count(lost, losses)
            else:
                self._crashes = 0
                return answer

    def order_soon(self, name: str, **params: Any) -> None:
        """Give an order whose answer nobody wants, if the machine is anywhere."""
        if self.worker is not None:
            self.worker.order_soon(name, session=self._session, **params)

    async def reopen(self, history: History) -> dict[str, Any]:
        """Replace the machine by the one that another history leads to; return where it stands.

        Raises:
            ServiceError: the history leads nowhere; the old machine is gone then.
        """
        losses = 0
        async with self._opening:
            while True:
                try:
                    return await self._open(history)
                except WorkerLostError as lost:
                    losses += 1
                    await self._count(lost, losses)

    def forget(self) -> None:
        """Give the machine up, with whatever was done to it that the history does not have."""
        self.changes += 1
        worker, self._worker = self.worker, None
        if worker is not None:
            worker.sessions.discard(self._session)
            worker.order_soon("drop", session=self._session)

    def close(self) -> None:
        """Give the place up for good."""
        self.gone = True
        self.forget()

    async def _take(self) -> Worker:
        self.used_s = time.monotonic()
        # Where another history is being brought there, the order is meant for what comes of it.
        if self.worker is None or self._opening.locked():
            async with self._opening:
                if self.worker is None:
                    await self._open(self._history())
        if self._worker is None:
            raise ServiceError(ErrorCode.CANCELLED, f"the machine of {self._session} was given up meanwhile")
        return self._worker

    async def _open(self, history: History) -> dict[str, Any]:
        if self.gone:
            raise ServiceError(ErrorCode.UNKNOWN_SESSION, f"{self._session} is deleted")
        worker = self.worker or self._workers.least_loaded()
        # Until it is there nobody is to take the one that it replaces.
        self._worker = None
        worker.sessions.add(self._session)
        changes = self.changes = self.changes + 1
        try:
            standing: dict[str, Any] = await worker.order("open", session=self._session, **self._opening_of(history))
            await self._opened(worker, standing)
            self._need_unchanged(changes)
        except BaseException:
            # Whoever wanted it is gone, and the worker must not keep what nobody knows of.
            worker.order_soon("drop", session=self._session)
            worker.sessions.discard(self._session)
            raise
        self._worker = worker
        return standing

    def _need_unchanged(self, changes: int) -> None:
        if self.changes != changes:
            raise ServiceError(ErrorCode.CANCELLED, f"{self._session} was deleted or rewound meanwhile")

    def _opening_of(self, history: History) -> dict[str, Any]:
        return {
            "scenario": history.scenario.model_dump(mode="json"),
            "log": [entry.model_dump(mode="json", exclude_unset=True) for entry in history.log],
            "target": None if history.target is None else history.target.model_dump(),
            "until_events": history.until_events,
            "events_max": self._limits.events_max,
            "actors_max": self._limits.actors_max,
            "wall_ns_max": int(self._limits.wall_time_s_max * 1e9),
        }

    async def _count(self, lost: WorkerLostError, losses: int) -> None:
        """Forgive a bystander, a few times, and a suspect once; wait until there may be another worker.

        Raises:
            ServiceError: WORKER_LOST.
        """
        await trio.sleep(REPLACED_S)
        self._crashes += lost.blamed == self._session
        if self._crashes >= CRASHES_MAX or losses >= LOSSES_MAX:
            message = f"{lost}, and {losses} times while {self._session} waited for it"
            raise ServiceError(ErrorCode.WORKER_LOST, message, {"session": self._session})
