"""What a client may ask of the service as a whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from secrets import token_hex
from typing import Any, TypeVar

from kactors.client.errors import LostError, ServiceLostError
from kactors.client.plans import Ask, Plan, given, read
from kactors.client.search_plans import SearchPlans
from kactors.client.session_plans import SessionPlans
from kactors.rpc.params import validate
from protocols.scenario import Scenario
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.methods import METHODS
from protocols.service.searches import (
    CheckList,
    CheckListParams,
    CheckStarted,
    CheckStartParams,
    CheckStats,
    SearchState,
)
from protocols.service.server import ApiInfo, ServerStats, Shutdown, ShutdownParams
from protocols.service.sessions import Created, CreateParams, ListParams, SessionInfo, SessionList, State

Page = TypeVar("Page", SessionList, CheckList)
Listed = TypeVar("Listed", SessionInfo, CheckStats)

READS = frozenset(
    {
        "api.info",
        "check.cancel",
        "check.list",
        "check.result",
        "check.stats",
        "server.stats",
        "sim.list",
        "sim.result",
        "sim.state",
        "sim.stats",
    }
)
"""Methods that change nothing, and whose answers are all that they do."""


class ClientPlans:
    """The methods that are about no session and no search, or make one."""

    def create(
        self, scenario: Scenario, *, seed: int | None = None, key: str | None = None, name: str | None = None
    ) -> Plan[SessionPlans]:
        """Make a session, paused at time 0: once, by its key.

        Args:
            scenario: what runs on what.
            seed: replaces the scenario's.
            key: the same client asking again with the same key and params gets the same session; one is made up
                when none is given.
            name: of the session.
        """
        params = CreateParams(scenario=scenario, key=key or token_hex(16), **given(seed=seed, name=name))
        created = yield from read("sim.create", params, Created)
        return SessionPlans(created.session, created, existing=created.existing)

    def list(self, state: State | None = None) -> Plan[tuple[SessionInfo, ...]]:
        """Return all sessions, or all in a state, oldest first."""
        return _all_pages(
            lambda after: read("sim.list", ListParams(**given(state=state, after=after)), SessionList),
            lambda page: {info.session: info for info in page.sessions},
            ErrorCode.UNKNOWN_SESSION,
        )

    def check(self, asked: CheckStartParams) -> Plan[SearchPlans]:
        """Begin to search a scenario's interleavings: once, by its key; one is made up when none is given."""
        params = asked if asked.key is not None else asked.model_copy(update={"key": token_hex(16)})
        started = yield from read("check.start", params, CheckStarted)
        return SearchPlans(started.check, existing=started.existing)

    def list_checks(self, state: SearchState | None = None) -> Plan[tuple[CheckStats, ...]]:
        """Return all searches, or all in a state, oldest first."""
        return _all_pages(
            lambda after: read("check.list", CheckListParams(**given(state=state, after=after)), CheckList),
            lambda page: {stats.check: stats for stats in page.checks},
            ErrorCode.UNKNOWN_SEARCH,
        )

    def server_stats(self) -> Plan[ServerStats]:
        """Return the service's own numbers."""
        return read("server.stats", None, ServerStats)

    def api_info(self) -> Plan[ApiInfo]:
        """Return every method with its schemas, every error code, every notification."""
        return read("api.info", None, ApiInfo)

    def shutdown(self, reason: str | None = None) -> Plan[Shutdown]:
        """End the service; it is not asked again, as another one may have begun meanwhile."""
        try:
            return Shutdown.model_validate((yield Ask("server.shutdown", ShutdownParams(**given(reason=reason)))))
        except LostError:
            return Shutdown()

    def call(self, method: str, params: Mapping[str, Any] | None = None) -> Plan[Any]:
        """Call any method with plain data, and return plain data.

        What changes nothing is asked again after a lost connection; the rest is not.

        Raises:
            ServiceError: UNKNOWN_METHOD or INVALID_PARAMS, before anything is sent; or what the service says.
            ServiceLostError: the connection was lost, and what became of a change is not known.
        """
        if method not in METHODS:
            raise ServiceError(ErrorCode.UNKNOWN_METHOD, f"there is no method {method}")
        checked = validate(METHODS[method], [dict(params or {})])
        while True:
            try:
                return (yield Ask(method, checked))
            except LostError as lost:
                if method not in READS:
                    raise ServiceLostError(f"{lost}; whether {method} was carried out is not known") from lost


def _all_pages(
    fetch: Callable[[str | None], Plan[Page]], named: Callable[[Page], dict[str, Listed]], gone: ErrorCode
) -> Plan[tuple[Listed, ...]]:
    """Return what all pages list.

    Args:
        fetch: asks for the page after a name.
        named: what is on a page, by name.
        gone: how the service says that there is none of that name: it was deleted meanwhile, and all begins anew.
    """
    found: dict[str, Listed] = {}
    after = None
    while True:
        try:
            page = yield from fetch(after)
        except ServiceError as error:
            if error.code is not gone:
                raise
            found, after = {}, None
            continue
        listed = named(page)
        found |= listed
        if not page.more:
            return tuple(found.values())
        after = next(reversed(listed))
