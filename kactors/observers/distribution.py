"""Samples of one duration, summed up by nearest rank."""

from __future__ import annotations

from math import ceil

from protocols.result import Distribution


class Samples:
    """Durations in ns, all kept: percentiles are exact.

    Attributes:
        max_ns: the longest so far.
    """

    def __init__(self) -> None:
        self._values: list[int] = []
        self.max_ns = 0

    def add(self, ns: int) -> None:
        """Take one sample."""
        self._values.append(ns)
        self.max_ns = max(self.max_ns, ns)

    def __len__(self) -> int:
        return len(self._values)

    def summary(self) -> Distribution:
        """Return count, percentiles and maximum; all 0 without samples."""
        values = sorted(self._values)
        if not values:
            return Distribution(count=0, p50_ns=0, p90_ns=0, p99_ns=0, max_ns=0, total_ns=0)

        def rank(percent: int) -> int:
            return values[ceil(len(values) * percent / 100) - 1]

        return Distribution(
            count=len(values),
            p50_ns=rank(50),
            p90_ns=rank(90),
            p99_ns=rank(99),
            max_ns=self.max_ns,
            total_ns=sum(values),
        )
