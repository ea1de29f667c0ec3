"""How often the intervals of runs that end by the stopping rule hold the true mean, of the 95 % that they say.

`python -m benchmarks.coverage` tries series whose mean is known; `--model` measures a scenario with many seeds, where
the mean over all of them stands for the truth.
"""

import argparse
import math

import numpy as np

from kactors.statistics import Interval, mean_interval, wilson
from kactors.statistics.stopping import look
from kactors.sweep.precision import Precision, measure_all, replicate
from protocols.scenario import Scenario

FIRST = 64
LENGTH_MAX = 1 << 18
RELATIVE = 0.02
MEAN = 10.0


def autoregressive(generator: np.random.Generator, n: int, phi: float, mean: float = MEAN) -> np.ndarray:
    """A steady series of which each sample remembers ``phi`` of the one before."""
    noise = generator.standard_normal(n)
    noise[0] /= math.sqrt(1 - phi * phi)
    for place in range(1, n):
        noise[place] += phi * noise[place - 1]
    return noise + mean


def stopped(generator: np.random.Generator, phi: float, relative: float) -> tuple[Interval, int]:
    """Lengthen a series until its interval is narrow enough; return that and the length."""
    series = autoregressive(generator, FIRST, phi)
    while True:
        seen = look(series, 0.95)
        if seen.lacks(relative) <= 1 or len(series) > LENGTH_MAX:
            return seen.batches.interval, len(series)
        more = math.ceil(len(series) * (seen.growth(relative) - 1))
        series = np.concatenate([series, _continued(generator, more, phi, float(series[-1]))])


def _continued(generator: np.random.Generator, n: int, phi: float, last: float) -> np.ndarray:
    noise = generator.standard_normal(n)
    noise[0] += phi * (last - MEAN)
    for place in range(1, n):
        noise[place] += phi * noise[place - 1]
    return noise + MEAN


def known(trials: int) -> None:
    print(f"{'memory':>8}  {'held':>6}  95 % interval    samples a run (mean)")
    for phi in (0.0, 0.5, 0.8, 0.9, 0.95):
        found = [stopped(np.random.default_rng(seed), phi, RELATIVE) for seed in range(trials)]
        _told(f"{phi:8.2f}", [interval.holds(MEAN) for interval, _ in found], [length for _, length in found])


def model(trials: int, relative: float) -> None:
    for policy in ("classic", "spf-v9"):
        scenario = Scenario(policy=policy, machine="x86-vm-16")
        runs = measure_all(replicate(scenario, trials), Precision(relative=relative))
        truth = mean_interval([run.rate.mean for run in runs])
        print(f"ebizzy under {policy} on {scenario.machine}: {truth.mean:,.0f} +- {100 * truth.relative:.2f} %")
        _told(f"{'':8}", [run.rate.holds(truth.mean) for run in runs if run.met], [run.events for run in runs])


def _told(name: str, held: list[bool], lengths: list[int]) -> None:
    share = wilson(sum(held), len(held))
    held_text = f"{100 * share.mean:5.1f}%  {100 * share.low:.1f} to {100 * share.high:.1f} %"
    print(f"{name}  {held_text}  {np.mean(lengths):14,.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", action="store_true", help="a scenario instead of series")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--precision", type=float, default=0.05, help="of --model")
    given = parser.parse_args()
    if given.model:
        model(given.trials, given.precision)
    else:
        known(given.trials)


if __name__ == "__main__":
    main()
