"""What a broken policy says of itself, beside what it does."""

from __future__ import annotations

from typing import ClassVar

from kactors.fault_policy import FaultPolicy


class Broken(FaultPolicy):
    """A policy that drops a protection. Never for comparison of speed.

    Attributes:
        caught_by: the property that some interleaving breaks, or "deadlock"; None: no interleaving breaks any.
        harmless_because: then, what protects instead.
    """

    caught_by: ClassVar[str | None]
    harmless_because: ClassVar[str] = ""
