"""What the methods about searches do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from kactors.rpc.codec import pack
from kactors.service.connection import Connection
from kactors.service.quotas import need_credit, need_subscription
from kactors.service.registry import Registry
from kactors.service.search import Search
from protocols.service.base import Reply
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.events import Credit, SubscribeParams
from protocols.service.searches import CheckParams, CheckStartParams


class SearchHandlers:
    """The methods ``check.*`` of one service, and what other methods do about searches.

    Args:
        registry: the sessions, with the searches beside them.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        searches = self._searches = registry.searches
        self.at_once: Mapping[str, Callable[[Connection, Any], Reply | None]] = {
            "check.stats": lambda _connection, params: searches[params.check].stats(),
            "check.list": lambda _connection, params: searches.list(params),
        }
        self.waiting: Mapping[str, Callable[[Connection, Any], Awaitable[Reply | bytes]]] = {
            "check.start": self._start,
            "check.cancel": lambda _connection, params: searches[params.check].cancel(),
            "check.result": self._result,
            "check.delete": lambda _connection, params: searches.delete(params.check),
        }

    async def _start(self, connection: Connection, params: CheckStartParams) -> Reply:
        if self._registry.ending:
            raise ServiceError(ErrorCode.SHUTTING_DOWN, "the service is ending; start it when it is back")
        connection.check_files(params.scenario)
        for name in params.properties:
            connection.check_property(name)
        return await self._searches.start(params, connection.client)

    async def _result(self, _connection: Connection, params: CheckParams) -> bytes:
        return pack(await self._searches[params.check].result())

    # --- subscriptions -----------------------------------------------------------------------------------------------

    def subscribe(self, connection: Connection, params: SubscribeParams) -> Reply:
        """Begin to tell a client how far a search is."""
        if len(params.topics) > 1:
            message = "sim.subscribe: topics: search stands alone: a name is a session's or a search's"
            raise ServiceError(ErrorCode.INVALID_PARAMS, message, {"errors": [message]})
        search = self._searches[params.session]
        need_subscription(self._registry.everybody(), params, connection.client, self._registry.limits)
        return search.subscribe(params, connection.client, connection.send_event).subscribed()

    def credit(self, connection: Connection, number: int, events: int) -> Credit | None:
        """Give a subscription to a search more credit; None: it is none of his."""
        search = self._mine(connection, number)
        if search is None:
            return None
        need_credit(search.subscribers.get(number), events, self._registry.limits)
        return search.grant(number, events)

    def unsubscribe(self, connection: Connection, number: int) -> Credit | None:
        """End a subscription to a search; None: it is none of his."""
        search = self._mine(connection, number)
        return None if search is None else search.unsubscribe(number)

    def need_no_search(self, name: str) -> None:
        """Refuse to attach to a search: its events are not kept, as the next one tells all.

        Raises:
            ServiceError: UNKNOWN_SUBSCRIPTION.
        """
        if name in self._searches:
            message = f"{name} is a search, whose events are not kept; sim.subscribe tells how far it is"
            raise ServiceError(ErrorCode.UNKNOWN_SUBSCRIPTION, message)

    def _mine(self, connection: Connection, number: int) -> Search | None:
        found = self._searches.subscription(number)
        return None if found is None or found[1].send != connection.send_event else found[0]

    def leave(self, connection: Connection) -> None:
        """End the subscriptions of a client that has gone."""
        for search in self._searches:
            search.leave(connection.send_event)
