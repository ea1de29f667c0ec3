"""What the service tells of itself: hello, api.info, server.stats, server.shutdown."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from protocols.service.base import Name, Params, Reply

API_LEVEL = 3
"""Rises when a method or a key is added. Nothing that a level has is taken away or changes its meaning."""


class Limits(Reply):
    """Every quota. None: no limit. A request beyond one fails with QUOTA, and ``data.limit`` is the key here."""

    message_bytes_max: int
    depth_max: int
    half_message_s: float
    connections_max: int
    requests_in_flight_max: int
    output_bytes_max: int
    sessions_max: int
    sessions_per_client_max: int
    sessions_running_max: int
    subscriptions_max: int
    subscriptions_per_client_max: int
    credit_max: int
    actors_max: int
    events_max: int
    wall_time_s_max: float
    stored_bytes_max: int
    checkpoints_per_session_max: int
    searches_max: int
    searches_per_client_max: int
    searches_running_max: int
    searches_running_per_client_max: int
    search_states_max: int
    """States that one search may hold, some 3 kB each: one that needs more ends with what it has covered."""
    search_time_s_max: float


class HelloParams(Params):
    """Who the client is. ``token`` is needed on TCP unless the listener is on loopback and has no token file."""

    client: Name | None = None
    token: Annotated[str, Field(max_length=1024)] | None = None


class Hello(Reply):
    """Who the service is and what it allows."""

    service: str
    version: str
    api_level: int
    fingerprint: str
    """Hash over the simulator's sources: equal builds give equal runs."""
    capabilities: tuple[str, ...]
    methods: tuple[str, ...]
    limits: Limits
    client: str
    """The name under which this client's quotas are counted."""
    connection: int


class MethodInfo(Reply):
    """One method: its place in the API and the JSON Schemas of what it takes and gives."""

    name: str
    since: int
    summary: str
    params: dict[str, Any]
    result: dict[str, Any]


class ApiInfo(Reply):
    """Every method, error code and notification."""

    api_level: int
    methods: tuple[MethodInfo, ...]
    errors: dict[str, int]
    notifications: dict[str, dict[str, Any]]


class WorkerStats(Reply):
    """One worker process."""

    number: int
    pid: int
    sessions: int
    running: int
    restarts: int
    resident_bytes: int


class ServerStats(Reply):
    """The service's own numbers."""

    uptime_s: float
    connections: int
    sessions: int
    running: int
    subscriptions: int
    tasks: int
    open_files: int
    resident_bytes: int
    requests: int
    errors: int
    events_sent: int
    events_dropped: int
    events_simulated: int
    stored_bytes: int
    searches: int
    searches_running: int
    workers: tuple[WorkerStats, ...]


class ShutdownParams(Params):
    """``reason`` is told to the other clients."""

    reason: Annotated[str, Field(max_length=200)] = "asked to"


class Shutdown(Reply):
    """The service is ending."""

    ending: bool = True
