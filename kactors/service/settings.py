"""What `kactors serve` is told: where to listen, what to keep where, and how much of everything."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kactors.engine.errors import UsageError
from kactors.rpc.address import Address
from kactors.rpc.framing import DEPTH_MAX
from protocols.service.server import Limits

LIMIT_MAX = 2**62
"""What MessagePack and SQLite can say, with room to add to it."""

LIMITS = Limits(
    message_bytes_max=4 << 20,
    depth_max=32,
    half_message_s=10.0,
    connections_max=1024,
    requests_in_flight_max=256,
    output_bytes_max=8 << 20,
    sessions_max=2048,
    sessions_per_client_max=512,
    sessions_running_max=1024,
    subscriptions_max=2048,
    subscriptions_per_client_max=64,
    credit_max=1_000_000,
    actors_max=100_000,
    events_max=500_000_000,
    wall_time_s_max=3600.0,
    stored_bytes_max=4 << 30,
    checkpoints_per_session_max=256,
    searches_max=1024,
    searches_per_client_max=256,
    searches_running_max=4,
    searches_running_per_client_max=2,
    search_states_max=500_000,
    search_time_s_max=3600.0,
)


@dataclass(frozen=True)
class Settings:
    """One service.

    Attributes:
        addresses: where it listens.
        store: the SQLite file.
        workers: simulating processes.
        stuck_s: one that has not answered for so long is ended: no delivery of a simulation takes this long.
        limits: every quota.
        token_file: names and tokens of TCP clients.
        certificate: PEM file for TLS, with the chain.
        key: PEM file of its private key.
        metrics: where /metrics and /healthz answer; None: nowhere.
        files_root: scenarios of TCP clients may name files below it; None: no files at all.
    """

    addresses: tuple[Address, ...]
    store: Path
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    stuck_s: float = 30.0
    limits: Limits = LIMITS
    token_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    metrics: Address | None = None
    files_root: Path | None = None


def limits_from_words(limits: Limits, words: Sequence[str]) -> Limits:
    """Return limits with some of them replaced, each written NAME=VALUE.

    Raises:
        UsageError: an unknown name, or a value that is no number above 0, or too large for the protocol.
    """
    values = limits.model_dump()
    for word in words:
        name, _, value = word.partition("=")
        if name not in values:
            raise UsageError(f"--limit {word}: there is no limit {name}; there are {', '.join(values)}")
        try:
            values[name] = type(values[name])(value)
        except ValueError:
            raise UsageError(f"--limit {word}: {value!r} is no number; write {name}={values[name]}") from None
        most = DEPTH_MAX if name == "depth_max" else LIMIT_MAX
        if not 0 < values[name] <= most:  # false of NaN as well
            raise UsageError(f"--limit {word}: it must be above 0, and at most {most}")
    return Limits(**values)
