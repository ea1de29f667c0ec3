"""One subscription as a client sees it: events in order, credit given back, and taken up again after a reconnect."""

from __future__ import annotations

from collections import deque

from kactors.client.errors import LostError, ServiceLostError
from kactors.client.plans import Ask, Plan, read
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.events import Credit, CreditParams, SimEvent, Subscribed, SubscribeParams, UnsubscribeParams
from protocols.service.sessions import Attached, AttachParams

EARLY_MAX = 10_000
"""Events of subscriptions whose number is not known yet, kept so far."""


class Feed:
    """One subscription.

    Args:
        params: what is asked for; its credit is the window.

    Attributes:
        number: of the subscription, while it is on this connection; None: it is not.
        restarts: how often it had to begin anew, as the service did not know it any more: what happened in between is
            not told, and events are numbered from 1 again.
        error: why no more will come.
    """

    def __init__(self, params: SubscribeParams) -> None:
        self.params = params
        self.number: int | None = None
        self.restarts = 0
        self.error: ServiceError | ServiceLostError | None = None
        self._known_as: int | None = None
        self._last = 0
        self._events: deque[SimEvent] = deque()
        self._consumed = 0

    # --- events ------------------------------------------------------------------------------------------------------

    def take(self, event: SimEvent) -> None:
        """Put an event that came into the queue."""
        skipped = event.number - self._last - 1
        if skipped < 0:
            return  # it came before the connection was lost, and again after it
        # What was lost with a connection is dropped as well, and the service does not always know it.
        self._events.append(event if skipped == event.dropped else event.model_copy(update={"dropped": skipped}))
        self._last = event.number

    def next(self) -> SimEvent | None:
        """Return the next event, or None: none is here.

        Raises:
            ServiceError: there will be none any more.
            ServiceLostError: the same.
        """
        if self._events:
            self._consumed += 1
            return self._events.popleft()
        if self.error is not None:
            raise self.error
        return None

    def refill(self) -> CreditParams | None:
        """Return the credit to give back: half a window at a time, so that the service never waits for it."""
        if self.number is None or 2 * self._consumed < self.params.credit:
            return None
        events, self._consumed = self._consumed, 0
        return CreditParams(subscription=self.number, events=events)

    # --- plans -------------------------------------------------------------------------------------------------------

    def open(self) -> Plan[None]:
        """Subscribe. A subscription whose number got lost ends by itself after a while."""
        self._begin((yield from read("sim.subscribe", self.params, Subscribed)))

    def lost(self) -> None:
        """Note that the connection is gone."""
        self.number = None

    def attach(self) -> Plan[None]:
        """Take it up again on a new connection, from the event after the last one that came.

        When that connection is lost as well, the next one has this to do again.
        """
        if self._known_as is None:
            return  # ``open`` has not ended yet, and asks again itself
        # Before anything is asked: events that were kept come before the answer.
        self.number = self._known_as
        try:
            try:
                params = AttachParams(session=self.params.session, subscription=self.number, after=self._last)
                Attached.model_validate((yield Ask("sim.attach", params)))
                yield from self._fill_up()
            except ServiceError as error:
                if error.code is not ErrorCode.UNKNOWN_SUBSCRIPTION:
                    raise
                self.number = None
                self._begin(Subscribed.model_validate((yield Ask("sim.subscribe", self.params))))
                self.restarts += 1
        except LostError:
            self.number = None
        except ServiceError as error:
            self.number, self.error = None, error

    def close(self) -> UnsubscribeParams | None:
        """End it; return what to tell the service, which otherwise ends it after a while."""
        number, self.number, self._known_as = self.number, None, None
        return None if number is None else UnsubscribeParams(subscription=number)

    def _begin(self, subscribed: Subscribed) -> None:
        self.number = self._known_as = subscribed.subscription
        self._last = self._consumed = 0

    def _fill_up(self) -> Plan[None]:
        """Bring the credit to the window: what was granted last may have been lost on its way."""
        left = yield from self._grant(1)
        missing = self.params.credit - len(self._events) - left
        self._consumed = 0
        if missing > 0:
            yield from self._grant(missing)

    def _grant(self, events: int) -> Plan[int]:
        if self.number is None:
            return 0
        answer = yield Ask("sim.credit", CreditParams(subscription=self.number, events=events))
        return Credit.model_validate(answer).credit
