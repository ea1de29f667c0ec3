"""One search: its record, where it computes, and who is told how far it is.

Only its beginning and its end are written down: what is lost in between is searched again, and comes to the same.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import structlog
import trio

from kactors.service.home import Home
from kactors.service.seat import CRASHES_MAX, LOSSES_MAX, REPLACED_S
from kactors.service.shelf import Named
from kactors.service.store import EndSearch, SearchRecord
from kactors.service.subscriber import Send, Subscriber
from kactors.service.worker.live_session import heard
from kactors.service.worker.orders import Listen
from kactors.service.worker.subscription import Subscription
from kactors.service.workers import Worker, WorkerLostError
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.events import Credit, SubscribeParams
from protocols.service.searches import CheckStats, SearchNumbers, SearchState

CANCEL_AGAIN_S = 0.5

log = structlog.get_logger(__name__)


class Search(Named):
    """One search.

    Args:
        record: what the store knows of it.
        home: the service.

    Attributes:
        numbers: what it has covered, as it was last told.
        gone: it is deleted.
    """

    def __init__(self, record: SearchRecord, home: Home) -> None:
        params = record.params
        super().__init__(record.search, record.client, params.key, params.model_dump(mode="json", exclude_unset=True))
        self.record = record
        self.numbers = record.numbers
        self.gone = False
        self._home = home
        self._worker: Worker | None = None
        self._ended = trio.Event()
        self._subscriptions: dict[int, Subscription] = {}
        self._changes = 0
        self._counted = SearchNumbers()

    @property
    def state(self) -> SearchState:
        """What it is doing."""
        return self.record.state

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.state is SearchState.RUNNING

    def stats(self) -> CheckStats:
        """Return its numbers as they are known here."""
        record, scenario = self.record, self.record.params.scenario
        return CheckStats(
            check=record.search,
            client=record.client,
            state=record.state,
            reason=record.reason,
            found=record.found,
            numbers=self.numbers,
            workload=scenario.workload,
            policy=scenario.policy,
            machine=scenario.machine,
            strategy=record.params.strategy,
            seed=scenario.seed if record.params.seed is None else record.params.seed,
            created_at=record.created_at,
        )

    async def result(self) -> dict[str, Any]:
        """Return its result.

        Raises:
            ServiceError: WRONG_STATE: it has not ended; or why it failed.
        """
        record = self.record
        if record.error is not None:
            code, message, data = record.error
            raise ServiceError(ErrorCode(code), f"{self.name} failed: {message}", data)
        stored = None if self.running else await self._home.committer.search_result(self.name)
        if stored is None:
            message = f"{self.name} has not ended; check.stats tells how far it is, check.cancel ends it"
            raise ServiceError(ErrorCode.WRONG_STATE, message, {"state": record.state})
        return {"check": self.name, "reason": record.reason, "searched": stored}

    # --- running -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Search, from the beginning, and write down what came of it."""
        try:
            outcome = await self._search()
        except ServiceError as error:
            changes: dict[str, Any] = {"state": SearchState.FAILED, "error": error.to_wire(), "numbers": self.numbers}
            searched = None
        else:
            searched = outcome["searched"]
            found = None if searched["found"] is None else searched["found"]["stop"]["kind"]
            changes = {"state": SearchState.ENDED, "reason": outcome["reason"], "found": found}
            changes["numbers"] = SearchNumbers.model_validate(outcome["numbers"])
        if not self.gone:
            await self._end(dataclasses.replace(self.record, **changes), searched)

    async def cancel(self) -> CheckStats:
        """End it with what it has covered; one that has ended is left alone."""
        while not self._ended.is_set() and self.running:
            if self._worker is not None:
                self._worker.order_soon("cancel", session=self.name)
            # Once is enough, unless the worker ends and the search begins anew.
            with trio.move_on_after(CANCEL_AGAIN_S):
                await self._ended.wait()
        return self.stats()

    def abandon(self) -> None:
        """End it for good, without a result."""
        self.gone = True
        if self._worker is not None:
            self._worker.order_soon("abandon", session=self.name)
        self._ended.set()

    async def _search(self) -> dict[str, Any]:
        losses = crashes = 0
        while not self.gone:
            worker = self._worker = self._home.workers.least_searched()
            worker.searches.add(self.name)
            self._counted = SearchNumbers()
            try:
                outcome: dict[str, Any] = await worker.order("search", session=self.name, **self.order())
            except WorkerLostError as lost:
                losses += 1
                crashes += lost.blamed == self.name
                if crashes >= CRASHES_MAX or losses >= LOSSES_MAX:
                    message = f"{lost}, and {losses} times while it made {self.name}"
                    raise ServiceError(ErrorCode.WORKER_LOST, message, {"check": self.name}) from lost
                await trio.sleep(REPLACED_S)
            else:
                return outcome
            finally:
                worker.searches.discard(self.name)
        raise ServiceError(ErrorCode.CANCELLED, f"{self.name} was deleted meanwhile")

    def order(self) -> dict[str, Any]:
        """Return what a worker is told of it."""
        return {
            "params": self.request,
            "states_max": self._home.limits.search_states_max,
            "wall_ns_max": int(self._home.limits.search_time_s_max * 1e9),
        }

    async def _end(self, record: SearchRecord, searched: dict[str, Any] | None) -> None:
        try:
            await self._home.committer.commit(EndSearch(record, searched))
        except ServiceError as error:
            log.warning("the end of a search was not written", search=self.name, error=error.message)
            record = dataclasses.replace(record, state=SearchState.FAILED, reason=None, error=error.to_wire())
        self.record = record
        self._stand(record.numbers)
        self._ended.set()
        self._tell()

    def _stand(self, numbers: SearchNumbers) -> None:
        """Note how far it is; what is searched again after a worker was lost is work as well."""
        counted = self._counted
        self._home.searched(max(0, numbers.schedules - counted.schedules), max(0, numbers.steps - counted.steps))
        self.numbers = self._counted = numbers

    # --- subscriptions -----------------------------------------------------------------------------------------------

    def progressed(self, numbers: dict[str, Any]) -> None:
        """Take what a worker tells of it."""
        self._stand(SearchNumbers.model_validate(numbers))
        self._tell()

    def subscribe(self, params: SubscribeParams, client: str, send: Send) -> Subscriber:
        """Tell a client from now on how far it is, beginning with how far it is now."""
        subscriber = self.subscribers.add(client, params, send)
        listen = Listen.model_validate({"session": self.name} | subscriber.order())
        self._subscriptions[subscriber.number] = Subscription(listen)
        self._offer(subscriber, self.stats().model_dump(mode="json"))
        return subscriber

    def grant(self, number: int, events: int) -> Credit:
        """Give a subscription more credit."""
        subscription = self._subscriptions[number]
        subscription.credit += events
        return self.subscribers.get(number).heard(heard(subscription).model_dump())

    def unsubscribe(self, number: int) -> Credit:
        """End a subscription."""
        credit = self.grant(number, 0)
        self.subscribers.remove(number)
        del self._subscriptions[number]
        return credit

    def leave(self, send: Send) -> None:
        """End the subscriptions of a client that has gone: whoever comes back is told all by the next event."""
        for subscriber in self.subscribers:
            if subscriber.send == send:
                self.unsubscribe(subscriber.number)

    def farewell(self) -> None:
        """Tell everybody that it is deleted."""
        for subscriber in self.subscribers:
            subscriber.farewell()

    def _tell(self) -> None:
        self._changes += 1
        data = self.stats().model_dump(mode="json")
        for subscriber in self.subscribers:
            self._offer(subscriber, data)

    def _offer(self, subscriber: Subscriber, data: dict[str, Any]) -> None:
        subscription = self._subscriptions[subscriber.number]
        event = subscription.offer("search", self._changes, 0, data, time.monotonic())
        if event is not None:
            subscriber.deliver({"session": self.name} | event)
            # A client that does not read has lost it, and not the credit that it cost.
            subscription.credit, subscriber.owed = subscription.credit + subscriber.owed, 0
