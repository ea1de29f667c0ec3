"""What the runs of a figure came to, and what changes between two sets of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from kactors.recordings.times import Timing
from kactors.statistics import mean_interval, paired_ratio, quantile_interval, quotient
from kactors.studies.effort import Effort
from kactors.studies.reproduction import not_speculative, ten_seconds_of
from kactors.studies.targets import Load, Target
from kactors.sweep.estimates import gain
from protocols.measurement import Interval, Measurement
from protocols.scenario import Scenario


@dataclass(frozen=True)
class Runs:
    """What became of a load: a measurement, or rates of several seeds, or the times of a replay.

    Attributes:
        measured: one run to a precision.
        rates: units a second, one number a seed.
        times_ns: each time that was taken.
    """

    measured: Measurement | None = None
    rates: tuple[float, ...] = ()
    times_ns: Mapping[Timing, Sequence[int]] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        """The runs are as exact as was asked for, or as long as they ought to be."""
        return self.measured is None or self.measured.met


Asked = tuple[Load, tuple[tuple[str, int], ...]]
"""A load, and the values of the profile that are replaced."""


def carry_out(asked: Iterable[Asked], effort: Effort) -> dict[Asked, Runs]:
    """Do each run once, and return what became of it."""
    todo = list(dict.fromkeys(asked))
    replays = [one for one in todo if one[0].workload == "recording"]
    several = [one for one in todo if one[0].seeds > 1]
    measured = [one for one in todo if one not in replays and one not in several]
    times = effort.replay(_scenarios(replays, effort.seed))
    results = iter(effort.run(_scenarios(several, effort.seed)))
    found = {one: Runs(times_ns=taken) for one, taken in zip(replays, times, strict=True)}
    for one in several:
        found[one] = Runs(rates=tuple(next(results).throughput.per_s for _ in range(one[0].seeds)))
    exact = effort.measure(_scenarios(measured, effort.seed))
    return found | {one: Runs(measured=run) for one, run in zip(measured, exact, strict=True)}


def _scenarios(asked: Iterable[Asked], seed: int) -> list[Scenario]:
    return [scenario for load, costs in asked for scenario in load.scenarios(seed, dict(costs))]


def read(target: Target, runs: Sequence[Runs]) -> Interval:
    """Return what a figure comes to.

    Args:
        target: which.
        runs: of each of its loads.
    """
    first = runs[0]
    if target.timing is not None:
        return quantile_interval(first.times_ns[target.timing], 0.5)
    if first.measured is not None:
        return not_speculative(ten_seconds_of(first.measured)) if target.unit == "share" else first.measured.rate
    return mean_interval(_by_seed(runs))


def change(target: Target, runs: Sequence[Runs], bases: Sequence[Runs]) -> Interval:
    """Return the figure by what it is with other runs: in pairs where there are several seeds.

    Args:
        target: which figure.
        runs: of each of its loads.
        bases: likewise, of what they are compared with.
    """
    one, base = runs[0].measured, bases[0].measured
    if one is not None and base is not None and target.unit == "a second":
        return gain([one], [base])
    if runs[0].rates and min(*_by_seed(runs), *_by_seed(bases)) > 0:
        return paired_ratio(_by_seed(runs), _by_seed(bases))
    return quotient(read(target, runs), read(target, bases))


def _by_seed(runs: Sequence[Runs]) -> list[float]:
    """Return the figure of each seed: a rate, or one rate by the other."""
    if len(runs) == 1:
        return list(runs[0].rates)
    return [one / other if other else 0.0 for one, other in zip(runs[0].rates, runs[1].rates, strict=True)]
