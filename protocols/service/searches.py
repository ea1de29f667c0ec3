"""Searches over the interleavings of a scenario, which the service makes in its workers."""

from __future__ import annotations

import enum
from typing import Annotated, Literal

from pydantic import Field

from protocols.scenario import Scenario
from protocols.search import Searched
from protocols.service.base import Name, Natural, Params, Positive, Reply, SessionId

SEARCH_STEPS_MAX = 10_000
"""Deliveries of one schedule: what comes between two looks at the other simulations."""


class SearchState(enum.StrEnum):
    """What a search is doing."""

    RUNNING = "running"
    ENDED = "ended"
    FAILED = "failed"


Strategy = Literal["portfolio", "exhaustive", "dpor", "plain", "random", "pct", "fair-pct", "pos", "delay"]

EndReason = Literal["done", "time", "cancelled", "search_states_max", "search_time_s_max"]
"""Why a search ended. ``done``: a finding, everything covered, or as many schedules as were allowed. ``time``: the
``seconds`` that it was given are over. The last two are limits of hello's."""


class CheckStartParams(Params):
    """Search the interleavings of a scenario, in the background.

    With ``key``, the same client asking again with the same params gets the same search, also after a restart. ``seed``
    replaces the scenario's. ``steps_max``: deliveries of one schedule; a longer one is given up. ``keep_going``: go on
    after a finding, for all outcomes. ``properties`` judge besides those that kactors has: FILE.py:CLASS, where this
    connection may name files. ``shrink``: tell the finding by its shortest schedule, in the smallest scenario.
    """

    scenario: Annotated[Scenario, Field(strict=False)]
    seed: int | None = None
    strategy: Strategy = "portfolio"
    steps_max: Annotated[int, Field(ge=1, le=SEARCH_STEPS_MAX)] = SEARCH_STEPS_MAX
    schedules_max: Positive | None = None
    seconds: Annotated[float, Field(ge=0, le=2**31)] | None = None
    keep_going: bool = False
    shrink: bool = True
    properties: Annotated[tuple[str, ...], Field(max_length=32, strict=False)] = ()
    key: Name | None = None
    name: SessionId | None = None


class CheckParams(Params):
    """Which search."""

    check: SessionId


class CheckListParams(Params):
    """Searches in the order of their making, those after ``after``."""

    state: Annotated[SearchState, Field(strict=False)] | None = None
    after: str | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 200


class SearchNumbers(Reply):
    """What a search has covered: at most a tenth of a second old while it runs.

    ``states`` are those that are held at the moment, and what ``search_states_max`` is about. ``frontier``: those of
    them below which something is still to be tried; 0 where all is covered, and for walks, which keep none.
    ``telling``: it has a finding, whose shortest schedule is looked for.
    """

    schedules: Natural = 0
    steps: Natural = 0
    states: Natural = 0
    frontier: Natural = 0
    wall_s: float = 0.0
    telling: bool = False


class CheckStats(Reply):
    """A search. ``reason`` tells why it ended, ``found`` what kind of finding there is; nil: none, or not yet."""

    check: str
    client: str
    state: SearchState
    reason: EndReason | None
    found: str | None
    numbers: SearchNumbers
    workload: str
    policy: str
    machine: str
    strategy: str
    seed: int
    created_at: float
    """Seconds since 1970, of the service's clock."""


class CheckStarted(CheckStats):
    """``existing``: the key was known and no new search was begun."""

    existing: bool = False


class CheckList(Reply):
    """``more``: ask again with ``after`` set to the last search's name."""

    checks: tuple[CheckStats, ...]
    more: bool


class CheckOutcome(Reply):
    """The result of a search that has ended: what ``kactors check --json`` prints."""

    check: str
    reason: EndReason
    searched: Searched


class CheckDeleted(Reply):
    """The search is gone."""

    check: str
