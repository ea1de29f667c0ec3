"""From measurements to what is compared: a policy's rates, and its gain over another's."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from kactors.statistics import Interval, mean_interval, no_interval, paired_ratio, ratio
from kactors.statistics.batch_means import BATCHES_MIN
from protocols.measurement import Estimate, Measurement


def estimate(runs: Sequence[Measurement], base: Sequence[Measurement] | None = None) -> Estimate:
    """Return what the runs of one policy tell.

    Args:
        runs: one measurement a seed; at least one.
        base: the same seeds under the policy that it is compared with; None: with none.
    """
    first = runs[0]
    rate = _over(runs, lambda run: run.rate)
    return Estimate(
        policy=first.result.policy,
        unit=first.unit,
        rate=rate,
        faults_per_s=_over(runs, lambda run: run.faults_per_s),
        aborts_per_s=_over(runs, lambda run: run.aborts_per_s),
        rates=_each(runs, lambda run: run.rates),
        cpu_time=_each(runs, lambda run: run.cpu_time),
        utilisation=_each(runs, lambda run: run.utilisation),
        gain=None if base is None or not any(run.rate.mean for run in base) else gain(runs, base),
        met=first.met if len(runs) == 1 else rate.relative <= (first.relative or math.inf),
        runs=tuple(runs),
    )


def gain(others: Sequence[Measurement], bases: Sequence[Measurement]) -> Interval:
    """Return the interval of the ratio of two policies' rates.

    Of several seeds: the pairs' ratios. Of one run each: the ratio of the two means as if they were independent, or
    wider. Two policies on one seed meet the same draws, though not for long: locks are taken in another order after a
    few faults. That two series rise and fall together says little of their means, for both may drift as one through a
    mode that neither leaves; so a correlation that is measured within one pair of runs may widen the interval, and what
    common random numbers bring takes several pairs.
    """
    if len(others) == 1:
        other, base = others[0], bases[0]
        return ratio(other.rate, base.rate, correlation=min(correlation(other, base), 0.0))
    one, two = ([run.rate.mean for run in runs] for runs in (others, bases))
    if min(*one, *two) <= 0:
        return ratio(_over(others, lambda run: run.rate), _over(bases, lambda run: run.rate))
    return paired_ratio(one, two, others[0].rate.confidence)


def correlation(one: Measurement, other: Measurement) -> float:
    """Return the correlation of two runs' mean rates, from batches at the same time after the start of the workers.

    0 where they have too few batches in common. A pair of seeds that differ has none: nothing is common to them.
    """
    if one.scenario.seed != other.scenario.seed:
        return 0.0
    batch_ns = math.lcm(one.series.slice_ns, other.series.slice_ns)
    batch_ns *= -(-max(one.batch_ns, other.batch_ns) // batch_ns)
    skip = -(-max(one.warm_up_ns, other.warm_up_ns) // batch_ns)
    rows = [_batches(run, batch_ns)[skip:] for run in (one, other)]
    common = min(map(len, rows))
    if common < BATCHES_MIN:
        return 0.0
    pair = np.array([row[:common] for row in rows], dtype=float)
    if not pair.std(axis=1).all():
        return 0.0
    # The longer run's mean rests on more than what is common.
    share = math.sqrt(common / max(map(len, rows)))
    return float(np.corrcoef(pair)[0, 1]) * share


def _batches(run: Measurement, batch_ns: int) -> np.ndarray:
    size = batch_ns // run.series.slice_ns
    counts = np.array(run.series.counts[: len(run.series.counts) // size * size])
    sums: np.ndarray = counts.reshape(-1, size).sum(axis=1)
    return sums


def _over(runs: Sequence[Measurement], read: Callable[[Measurement], Interval]) -> Interval:
    if len(runs) == 1:
        return read(runs[0])
    return _mean([read(run) for run in runs], runs[0].rate.confidence)


def _each(runs: Sequence[Measurement], read: Callable[[Measurement], Mapping[str, Interval]]) -> dict[str, Interval]:
    """What a run did not count, it counted 0 times."""
    names = dict.fromkeys(name for run in runs for name in read(run))
    if len(runs) == 1:
        return {name: read(runs[0])[name] for name in names}
    confidence = runs[0].rate.confidence
    return {name: _mean([each.get(name) for each in map(read, runs)], confidence) for name in names}


def _mean(each: Sequence[Interval | None], confidence: float) -> Interval:
    found = [interval for interval in each if interval is not None]
    if not any(interval.mean for interval in found) and not all(math.isfinite(interval.high) for interval in found):
        # Nothing happened in runs that are too short to say how seldom that is: zeros have no spread to tell it from.
        return no_interval(0.0, confidence, len(found))
    if all(interval.low == interval.mean == 0 < interval.high for interval in found):
        # It happened in none of the runs: their times together are what it did not happen in.
        high = 1 / sum(1 / interval.high for interval in found)
        return Interval(mean=0.0, low=0.0, high=high, confidence=confidence, n=len(found))
    return mean_interval([interval.mean if interval is not None else 0.0 for interval in each], confidence)
