"""Two systems beside each other: differences and ratios, paired where common random numbers make the pairs alike."""

from __future__ import annotations

import math

import numpy as np

from kactors.statistics.means import Samples, mean_interval, no_interval, symmetric, t_quantile
from protocols.measurement import Interval


def paired_difference(others: Samples, bases: Samples, confidence: float = 0.95) -> Interval:
    """Return the interval of the mean difference other - base.

    Args:
        others: one number a replication, of shape (n,).
        bases: the same replications (the same seeds) of the base, of shape (n,).
        confidence: between 0 and 1.

    Raises:
        ValueError: the shapes differ.
    """
    return mean_interval(_paired(others, bases)[0] - _paired(others, bases)[1], confidence)


def paired_ratio(others: Samples, bases: Samples, confidence: float = 0.95) -> Interval:
    """Return the interval of the ratio other / base, by the logarithms of the pairs' ratios; never below 0.

    The estimate is the geometric mean of the ratios.

    Args:
        others: one positive number a replication, of shape (n,).
        bases: the same replications (the same seeds) of the base, of shape (n,).
        confidence: between 0 and 1.

    Raises:
        ValueError: the shapes differ, or a number is not positive.
    """
    one, other = _paired(others, bases)
    if len(one) and min(one.min(), other.min()) <= 0:
        raise ValueError("a logarithm takes positive numbers: every pair must have done something")
    logs = mean_interval(np.log(one) - np.log(other), confidence)
    return Interval(
        mean=math.exp(logs.mean),
        low=math.exp(logs.low),
        high=_exp(logs.high),
        confidence=confidence,
        n=logs.n,
    )


def ratio(other: Interval, base: Interval, *, correlation: float = 0.0) -> Interval:
    """Return the interval of the ratio of two positive means, each with a symmetric interval of equal confidence.

    By logarithms (the delta method), with Welch's degrees of freedom; for intervals of a few percent it agrees with
    Fieller's, and it needs no case for a denominator near 0.

    Args:
        other: the numerator.
        base: the denominator.
        correlation: of the two estimates, -1 to 1: what common random numbers bring.
    """
    confidence = base.confidence
    if base.mean <= 0 or other.mean <= 0 or not math.isfinite(other.half_width + base.half_width):
        value = other.mean / base.mean if base.mean else 0.0
        return no_interval(value, confidence, min(other.n, base.n))
    parts = [
        (each.half_width / t_quantile(confidence, each.n - 1) / each.mean, each.n - 1) if each.half_width else (0.0, 1)
        for each in (other, base)
    ]
    (one, _), (two, _) = parts
    variance = one**2 + two**2
    degrees = variance**2 / sum(part**4 / degrees for part, degrees in parts) if variance else 1.0
    error = math.sqrt(max(variance - 2 * correlation * one * two, 0.0))
    reach = math.exp(t_quantile(confidence, degrees) * error)
    value = other.mean / base.mean
    return Interval(mean=value, low=value / reach, high=value * reach, confidence=confidence, n=min(other.n, base.n))


def fieller(others: Samples, bases: Samples, confidence: float = 0.95) -> Interval:
    """Return Fieller's interval of mean(other) / mean(base) from pairs; infinite when the base may be 0.

    Args:
        others: one number a replication, of shape (n,).
        bases: the same replications of the base, of shape (n,).
        confidence: between 0 and 1.

    Raises:
        ValueError: the shapes differ.
    """
    one, two = _paired(others, bases)
    n = len(one)
    if n <= 1 or not two.mean():
        return no_interval(float(one.mean() / two.mean()) if n and two.mean() else 0.0, confidence, n)
    value = float(one.mean() / two.mean())
    covariance = np.cov(one, two) / n
    t2 = t_quantile(confidence, n - 1) ** 2
    # The values r with (mean(other) - r mean(base))^2 <= t^2 var(other - r base): between the roots of a parabola.
    a = float(two.mean() ** 2 - t2 * covariance[1, 1])
    b = float(one.mean() * two.mean() - t2 * covariance[0, 1])
    c = float(one.mean() ** 2 - t2 * covariance[0, 0])
    return _between_roots(value, (a, b, c), confidence, n)


def quotient(top: Interval, bottom: Interval, *, covariance: float = 0.0) -> Interval:
    """Return the interval of the quotient of two estimates of either sign: Fieller's, from half-widths.

    A half-width stands for the quantile times the standard error, as in the method of variance estimates recovery (Zou
    and Donner, 2008), so the two may rest on different numbers of samples. Infinite where the bottom may be 0.

    Args:
        top: the numerator, about symmetric.
        bottom: the denominator, likewise.
        covariance: of the two, in the square of that unit: half-width times half-width where they are one and the same;
            0 of independent ones.
    """
    n, confidence = min(top.n, bottom.n), bottom.confidence
    value = top.mean / bottom.mean if bottom.mean else 0.0
    if not math.isfinite(top.half_width + bottom.half_width):
        return no_interval(value, confidence, n)
    a = bottom.mean**2 - bottom.half_width**2
    b = top.mean * bottom.mean - covariance
    c = top.mean**2 - top.half_width**2
    return _between_roots(value, (a, b, c), confidence, n)


def _between_roots(value: float, parabola: tuple[float, float, float], confidence: float, n: int) -> Interval:
    """Return where a r^2 - 2 b r + c is not positive; it is nowhere in particular where a is not positive."""
    a, b, c = parabola
    root = b * b - a * c
    if a <= 0 or root < 0:
        return no_interval(value, confidence, n)
    low, high = (b - math.sqrt(root)) / a, (b + math.sqrt(root)) / a
    return Interval(mean=value, low=low, high=high, confidence=confidence, n=n)


def logarithm(interval: Interval) -> Interval:
    """Return the interval of the natural logarithm of what has this one; nothing is known of one that may be 0."""
    if interval.low <= 0 or not math.isfinite(interval.high):
        known = math.log(interval.mean) if interval.mean > 0 else 0.0
        return no_interval(known, interval.confidence, interval.n)
    low, mean, high = (math.log(each) for each in (interval.low, interval.mean, interval.high))
    return interval.model_copy(update={"mean": mean, "low": low, "high": high})


def difference(other: Interval, base: Interval) -> Interval:
    """Return the interval of the difference of two independent means with symmetric intervals (Welch)."""
    confidence, value = base.confidence, other.mean - base.mean
    if not math.isfinite(other.half_width + base.half_width):
        return no_interval(value, confidence, min(other.n, base.n))
    parts = [
        (each.half_width / t_quantile(confidence, each.n - 1), each.n - 1) for each in (other, base) if each.half_width
    ]
    variance = sum(error**2 for error, _ in parts)
    degrees = variance**2 / sum(error**4 / degrees for error, degrees in parts) if variance else 1.0
    return symmetric(value, t_quantile(confidence, degrees) * math.sqrt(variance), confidence, min(other.n, base.n))


def rest_of(part: Interval) -> Interval:
    """Return the interval of what a part, or a ratio, leaves of 1."""
    return part.model_copy(update={"mean": 1 - part.mean, "low": 1 - part.high, "high": 1 - part.low})


def _paired(others: Samples, bases: Samples) -> tuple[np.ndarray, np.ndarray]:
    one, two = np.asarray(others, dtype=float), np.asarray(bases, dtype=float)
    if one.shape != two.shape:
        raise ValueError(f"{len(one)} samples cannot be paired with {len(two)}")
    return one, two


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf
