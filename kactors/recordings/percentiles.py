"""Percentiles of measured times."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


def percentile(ordered: Sequence[int], percent: int) -> int:
    """The nearest-rank percentile: the smallest member that `percent` % (1..100) of `ordered` do not exceed.

    `ordered` ascends and is not empty. A member, never a mean of two, so that the answer is an exact int.
    """
    return ordered[-(-len(ordered) * percent // 100) - 1]


@dataclass(frozen=True, slots=True)
class Distribution:
    """Of `count` measured times, in ns; all zero if there are none."""

    count: int
    p50_ns: int
    p90_ns: int
    p99_ns: int
    max_ns: int


def distribution(times_ns: Iterable[int]) -> Distribution:
    """The distribution of `times_ns`, in any order."""
    ordered = sorted(times_ns)
    if not ordered:
        return Distribution(0, 0, 0, 0, 0)
    p50, p90, p99 = (percentile(ordered, percent) for percent in (50, 90, 99))
    return Distribution(len(ordered), p50, p90, p99, ordered[-1])
