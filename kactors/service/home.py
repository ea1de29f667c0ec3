"""The service, as what lives in it sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from kactors.service.committer import Committer
from kactors.service.workers import Worker, Workers
from protocols.service.server import Limits


class Home(Protocol):
    """What a simulation or a search needs of the service that it lives in."""

    workers: Workers
    committer: Committer
    limits: Limits
    ending: bool

    def start_soon(self, task: Callable[[], Awaitable[None]]) -> None:
        """Run a task that outlives the request that began it."""

    def opened(self, worker: Worker) -> None:
        """Hear that a worker holds one machine more."""

    def simulated(self, events: int) -> None:
        """Hear how many deliveries have been made."""

    def searched(self, schedules: int, steps: int) -> None:
        """Hear how many schedules, and deliveries of schedules, have been searched."""
