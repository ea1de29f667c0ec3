"""Batch means: a steady series, cut into batches so long that their means are as good as independent."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from kactors.statistics.means import Samples, mean_interval, no_interval
from protocols.measurement import Interval

BATCHES_MAX = 64
BATCHES_MIN = 10
"""With fewer, Student's factor costs more than any correlation that longer batches remove."""
SIGNIFICANCE = 0.1
"""How often independent batches are taken for correlated ones, and doubled for nothing."""
INFLATION_MAX = 9.0
"""(1 + r) / (1 - r) at r = 0.8; batches that correlate more are no batches."""


@dataclass(frozen=True)
class Batches:
    """A mean with its interval, and what it was made of.

    Attributes:
        interval: of the mean.
        size: samples in a batch.
        uncorrelated: the batches passed the test; else there were too few samples for longer ones, and the interval
            is too narrow.
        correlation: between batches that follow each other.
    """

    interval: Interval
    size: int
    uncorrelated: bool
    correlation: float


def lag1(samples: Samples) -> float:
    """Return the correlation of each sample with the next one, of shape (n,): -1 to 1; 0 for a constant."""
    values = np.asarray(samples, dtype=float)
    if len(values) <= 1:
        return 0.0
    deviations = values - values.mean()
    spread = float(deviations @ deviations)
    return float(deviations[:-1] @ deviations[1:]) / spread if spread > _rounding(values) else 0.0


def von_neumann(samples: Samples, significance: float = SIGNIFICANCE) -> bool:
    """Return whether samples in the order of time pass as uncorrelated, of shape (n,).

    The ratio of the mean square successive difference to the variance (von Neumann, 1941) is 2 for independent samples
    and less for positively correlated ones; only these make an interval too narrow, so the test has one side.
    """
    values = np.asarray(samples, dtype=float)
    n = len(values)
    if n < BATCHES_MIN:
        return False
    deviations = values - values.mean()
    spread = float(deviations @ deviations)
    if spread <= _rounding(values):
        return True
    steps = np.diff(values)
    statistic = 1 - float(steps @ steps) / (2 * spread)
    return statistic <= -float(ndtri(significance)) * math.sqrt((n - 2) / (n * n - 1))


def batch_means(samples: Samples, confidence: float = 0.95, *, batches: int = BATCHES_MAX) -> Batches:
    """Return the interval of a steady series' mean.

    Batches are doubled until they pass as uncorrelated. What correlation is still measured between them widens the
    interval, as a series with that lag-1 correlation would ask for (Tafazzoli et al.: Skart, 2011): a test on a few
    dozen batches lets much pass.

    Args:
        samples: in the order of time, of shape (n,); what does not fill a batch is left out at the beginning.
        confidence: between 0 and 1.
        batches: how many to begin with, BATCHES_MIN or more.
    """
    values = np.asarray(samples, dtype=float)
    if len(values) < BATCHES_MIN:
        return Batches(no_interval(float(values.mean()) if len(values) else 0.0, confidence, 0), 1, False, 0.0)
    size = max(-(-len(values) // batches), 1)
    means = _means(values, size)
    passed = von_neumann(means)
    while not passed and len(values) // (2 * size) >= BATCHES_MIN:
        size *= 2
        means = _means(values, size)
        passed = von_neumann(means)
    correlation = lag1(means)
    inflation = min(max((1 + correlation) / (1 - correlation), 1.0), INFLATION_MAX)
    interval = mean_interval(means, confidence, inflation=inflation)
    return Batches(interval, size, passed, correlation)


def _means(values: np.ndarray, size: int) -> np.ndarray:
    count = len(values) // size
    means: np.ndarray = values[len(values) - count * size :].reshape(count, size).mean(axis=1)
    return means


def _rounding(values: np.ndarray) -> float:
    """Return the sum of squares that a constant series has by rounding alone."""
    return float(len(values) * (np.finfo(float).eps * np.abs(values).max()) ** 2) * 4
