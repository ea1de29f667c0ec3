"""Student's interval of a mean: of replications, of batches, of pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from protocols.measurement import Interval

Samples = Sequence[float] | NDArray[np.float64]


def t_quantile(confidence: float, degrees: float) -> float:
    """Return how many standard errors an interval of that confidence reaches to each side."""
    return float(stdtrit(degrees, (1 + confidence) / 2))


def no_interval(mean: float, confidence: float, n: int) -> Interval:
    """Return an estimate of which nothing is known but itself: from minus to plus infinity."""
    return Interval(mean=mean, low=-math.inf, high=math.inf, confidence=confidence, n=n)


def never(exposure: float, confidence: float, n: int) -> Interval:
    """Return the rate of what did not happen: from 0 to what would have shown itself that surely.

    The upper end is that of a Poisson count of 0 over ``exposure``, the time observed.
    """
    return Interval(mean=0.0, low=0.0, high=-math.log((1 - confidence) / 2) / exposure, confidence=confidence, n=n)


def symmetric(mean: float, half_width: float, confidence: float, n: int) -> Interval:
    """Return the interval that reaches equally far to both sides."""
    return Interval(mean=mean, low=mean - half_width, high=mean + half_width, confidence=confidence, n=n)


def mean_interval(samples: Samples, confidence: float = 0.95, *, inflation: float = 1.0) -> Interval:
    """Return the interval of the mean of independent samples: replications, or batches that are uncorrelated.

    Args:
        samples: one number a replication, of shape (n,); with fewer than two there is no interval.
        confidence: between 0 and 1.
        inflation: factor on the mean's variance, for samples that are not quite independent.
    """
    values = np.asarray(samples, dtype=float)
    n = len(values)
    if n <= 1:
        return no_interval(float(values[0]) if n else 0.0, confidence, n)
    error = math.sqrt(float(values.var(ddof=1)) / n * inflation)
    return symmetric(float(values.mean()), t_quantile(confidence, n - 1) * error, confidence, n)
