"""The universal scalability law (Gunther), fitted to rates at several sizes.

X(N) = lambda N / (1 + sigma (N - 1) + kappa N (N - 1)): sigma is the share of work that only one can do at a time,
kappa what each pair costs because both need the same thing to agree on. Nothing says that a kernel obeys it; where it
does not, the fit says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from kactors.statistics.means import t_quantile
from protocols.measurement import Interval

PARAMETERS = 3
ERROR_MIN = 0.005
"""No rate counts as known better than this, so that one that hardly varies does not outweigh all others."""
MISFIT_MAX = 0.15
"""A law that misses a rate by more is no description of it, and no prediction."""
CHI_SQUARE_MAX = 4.0
"""Nor is one whose misses are twice what the rates' own intervals explain, where these are wide."""


@dataclass(frozen=True)
class Usl:
    """A fitted law.

    Attributes:
        lambda_: rate of one CPU alone, in the unit of the rates.
        sigma: contention, 0 to 1.
        kappa: coherency, 0 or more.
        residuals: (fitted - measured) / measured, one a size.
        fits: no residual is beyond MISFIT_MAX, unless the rates' own intervals explain it.
    """

    lambda_: Interval
    sigma: Interval
    kappa: Interval
    residuals: tuple[float, ...]
    fits: bool

    @property
    def peak_cpus(self) -> float:
        """Where the law has its maximum, 1 or more; infinite without coherency."""
        sigma, kappa = self.sigma.mean, self.kappa.mean
        return max(math.sqrt(max(1 - sigma, 0) / kappa), 1.0) if kappa > 0 else math.inf

    def rate(self, cpus: float) -> float:
        """Return what the law says of a size."""
        parameters = np.array([self.lambda_.mean, self.sigma.mean, self.kappa.mean])
        return float(_law(parameters, np.array([cpus]))[0])


def fit_usl(cpus: Sequence[float], rates: Sequence[Interval], confidence: float = 0.95) -> Usl | None:
    """Fit the law by weighted least squares to relative errors.

    The intervals of the parameters are those of the linearised fit, cut off at 0. They are as wide as the residuals ask
    for: of a law that does not fit they mean little.

    Args:
        cpus: sizes, 1 or more each.
        rates: a rate at each size, with a finite interval; those that are not positive are left out.
        confidence: of the parameters' intervals.

    Returns:
        The law; None with fewer than four usable sizes: three parameters fit any three.
    """
    usable = [
        (size, rate) for size, rate in zip(cpus, rates, strict=True) if rate.mean > 0 and math.isfinite(rate.relative)
    ]
    if len(usable) <= PARAMETERS:
        return None
    sizes = np.array([size for size, _ in usable], dtype=float)
    measured = np.array([rate.mean for _, rate in usable])
    # Of an interval of 95 % about two standard errors to each side: the scale of all weights cancels out.
    errors = np.array([max(rate.relative / 2, ERROR_MIN) for _, rate in usable])
    scale = measured[0] / sizes[0]

    def misses(parameters: np.ndarray) -> np.ndarray:
        missed: np.ndarray = (_law(parameters * [scale, 1, 1], sizes) / measured - 1) / errors
        return missed

    best = min(
        (
            least_squares(misses, start, bounds=([1e-6, 0, 0], [np.inf, 1, np.inf]), x_scale=[1, 0.01, 1e-4])
            for start in ([1, 0.01, 1e-5], [1, 0.5, 1e-3], [2, 0.9, 0.1])
        ),
        key=lambda found: float(found.cost),
    )
    degrees = len(usable) - PARAMETERS
    spread = 2 * float(best.cost) / degrees
    slopes = np.asarray(best.jac)
    covariance = np.linalg.pinv(slopes.T @ slopes) * max(spread, 1.0)
    reaches = t_quantile(confidence, degrees) * np.sqrt(np.diag(covariance))
    lambda_, sigma, kappa = (
        Interval(mean=value, low=max(value - reach, 0.0), high=value + reach, confidence=confidence, n=len(usable))
        for value, reach in zip(map(float, best.x), map(float, reaches), strict=True)
    )
    residuals = tuple(float(miss * error) for miss, error in zip(best.fun, errors, strict=True))
    fits = max(map(abs, residuals)) <= MISFIT_MAX or spread <= CHI_SQUARE_MAX
    return Usl(lambda_.scaled(float(scale)), sigma, kappa, residuals, fits)


def _law(parameters: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    lambda_, sigma, kappa = parameters
    rates: np.ndarray = lambda_ * sizes / (1 + sigma * (sizes - 1) + kappa * sizes * (sizes - 1))
    return rates
