"""What may be done with one search of the service. All of it may be asked again when the connection is lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kactors.client.errors import LostError
from kactors.client.feeds import Feed
from kactors.client.plans import Ask, Plan, Resends, Sleep, given, read
from protocols.search import Searched
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.events import SubscribeParams
from protocols.service.searches import CheckDeleted, CheckOutcome, CheckParams, CheckStats, SearchState

POLL_S = 0.1
"""The service knows a running search's numbers no better than that."""
WINDOW = 64


class SearchPlans:
    """One search.

    Args:
        name: the search's name.
        existing: its key was known, and no new search was begun.
    """

    def __init__(self, name: str, *, existing: bool = False) -> None:
        self.name = name
        self.existing = existing

    def stats(self) -> Plan[CheckStats]:
        """Return its numbers."""
        return read("check.stats", self._params, CheckStats)

    def cancel(self) -> Plan[CheckStats]:
        """End it with what it has covered, and return when it has ended."""
        return read("check.cancel", self._params, CheckStats)

    def result(self) -> Plan[Searched]:
        """Return the result of a search that has ended."""
        return (yield from read("check.result", self._params, CheckOutcome)).searched

    def wait(
        self, show: Callable[[CheckStats], None] | None = None, stopped: Callable[[], bool] | None = None
    ) -> Plan[CheckStats]:
        """Wait until it has ended.

        Args:
            show: told its numbers a few times a second.
            stopped: asked as often; true cancels it.
        """
        while (stats := (yield from self.stats())).state is SearchState.RUNNING:
            if show is not None:
                show(stats)
            if stopped is not None and stopped():
                return (yield from self.cancel())
            yield Sleep(POLL_S)
        return stats

    def delete(self) -> Plan[CheckDeleted]:
        """Forget it; if it runs, end it."""
        resends = Resends("check.delete")
        while True:
            try:
                return CheckDeleted.model_validate((yield Ask("check.delete", self._params)))
            except LostError as lost:
                resends.count(lost)
            except ServiceError as error:
                if error.code is not ErrorCode.UNKNOWN_SEARCH or not resends.made:
                    raise
                return CheckDeleted(check=self.name)

    def feed(self, *, rate_per_s: int | None = None, window: int = WINDOW) -> Feed:
        """Return a subscription that is to be opened: what ``stats`` returns, whenever it changes; the last is the end.

        Args:
            rate_per_s: at most so many events a second of wall-clock time.
            window: so many events may be on their way or wait to be consumed; what happens meanwhile is dropped.
        """
        topics: Sequence[str] = ("search",)
        params = {"session": self.name, "topics": topics, "credit": window, **given(rate_per_s=rate_per_s)}
        return Feed(SubscribeParams.model_validate(params))

    @property
    def _params(self) -> CheckParams:
        return CheckParams(check=self.name)
