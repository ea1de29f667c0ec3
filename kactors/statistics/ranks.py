"""Intervals without a distribution of one's own: of a quantile by order statistics, of a proportion by Wilson."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import bdtr, ndtri

from kactors.statistics.means import Samples
from protocols.measurement import Interval


def quantile_interval(samples: Samples, quantile: float, confidence: float = 0.95) -> Interval:
    """Return the interval of a quantile of independent samples, whatever their distribution.

    Its ends are samples themselves. So many samples lie below the true quantile as heads fall in n tosses, which gives
    the ranks; where there are too few samples for one, that end is infinite. The estimate is the nearest rank.

    Args:
        samples: of shape (n,), in any order.
        quantile: between 0 and 1: 0.99 for the 99th percentile.
        confidence: between 0 and 1; the ranks are whole, so the interval holds the quantile at least as often.

    Raises:
        ValueError: there are no samples.
    """
    values = np.sort(np.asarray(samples, dtype=float))
    n = len(values)
    if not n:
        raise ValueError("no samples, no quantile")
    tail = (1 - confidence) / 2
    below = bdtr(np.arange(n), n, quantile)
    # The lower end is the highest rank that lies above the quantile so rarely, the upper one the lowest that lies below
    # it so rarely.
    low = int(np.searchsorted(below, tail, side="right"))
    high = int(np.searchsorted(below, 1 - tail, side="left"))
    return Interval(
        mean=float(values[max(math.ceil(n * quantile) - 1, 0)]),
        low=float(values[low - 1]) if low else -math.inf,
        high=float(values[high]) if high < n else math.inf,
        confidence=confidence,
        n=n,
    )


def wilson(hits: int, n: int, confidence: float = 0.95) -> Interval:
    """Return Wilson's interval of a proportion: within 0 and 1, and sound for few hits or none.

    Args:
        hits: how many of them.
        n: of how many independent trials.
        confidence: between 0 and 1.

    Raises:
        ValueError: more hits than trials.
    """
    if not 0 <= hits <= n:
        raise ValueError(f"{hits} hits in {n} trials")
    if not n:
        return Interval(mean=0.0, low=0.0, high=1.0, confidence=confidence, n=0)
    z2, share = float(ndtri((1 + confidence) / 2)) ** 2, hits / n
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    reach = math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    low, high = max(middle - reach, 0.0) if hits else 0.0, min(middle + reach, 1.0) if hits < n else 1.0
    return Interval(mean=share, low=low, high=high, confidence=confidence, n=n)
