"""Gains: how sure one pair of runs can be of a ratio, and how sure several are."""

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from kactors.statistics import batch_means, never, no_interval, ratio
from kactors.sweep.estimates import correlation, estimate, gain
from kactors.sweep.precision import Precision, measure
from protocols.measurement import Measurement, Series
from protocols.scenario import Scenario

SLICE_NS = 1_000_000


@pytest.fixture(scope="module")
def template():
    return measure(Scenario(workload="ebizzy", machine="small"), Precision(relative=0.5, events_max=20_000))


def run_of(template: Measurement, counts, seed=1):
    """The measurement of a run that did so much in each millisecond, all of it after its warm-up."""
    series = Series(slice_ns=SLICE_NS, counts=tuple(round(count) for count in counts))
    found = batch_means(series.counts)
    return template.model_copy(
        update={
            "scenario": template.scenario.model_copy(update={"seed": seed}),
            "series": series,
            "warm_up_ns": 0,
            "batch_ns": found.size * SLICE_NS,
            "rate": found.interval.scaled(1e9 / SLICE_NS),
        }
    )


def drifting(generator, together):
    """Two series that have a slow drift in common, whose sign is the same or not."""
    drift = 200 * np.sin(np.linspace(0, 6, 120) + generator.uniform(0, 6))
    noise = generator.normal(0, 30, (2, 120))
    return 1000 + drift + noise[0], 1000 + together * drift + noise[1]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_one_pair_of_runs_is_no_surer_of_a_gain_than_two_independent_runs(template, seed):
    for together in (1, -1):
        one, other = (run_of(template, counts) for counts in drifting(np.random.default_rng(seed), together))
        alone = ratio(one.rate, other.rate)
        found = gain([one], [other])
        assert found.mean == alone.mean
        assert found.half_width >= alone.half_width
        if together == 1:
            assert correlation(one, other) > 0.3, "what was measured would have narrowed it"
            assert found == alone
        elif math.isfinite(alone.half_width):
            assert found.half_width > alone.half_width


def test_replications_on_common_random_numbers_are_surer(template):
    generator = np.random.default_rng(2)
    common = generator.normal(1000, 200, 8)
    ones, others = (
        [
            run_of(template, factor * level + generator.normal(0, 5, 64), seed)
            for seed, level in enumerate(common, start=1)
        ]
        for factor in (1.5, 1.0)
    )
    paired = gain(ones, others)
    assert paired.holds(1.5)
    apart = ratio(estimate(ones).rate, estimate(others).rate)
    assert paired.half_width < apart.half_width / 5


def test_over_what_did_nothing_there_is_no_gain(template):
    idle, busy = run_of(template, [0] * 64), run_of(template, [5, 6, 5] * 20)
    assert estimate([busy], [idle]).gain is None
    assert estimate([busy] * 2, [idle] * 2).gain is None
    assert estimate([busy], [busy]).gain is not None
    found = estimate([idle], [busy]).gain
    assert (found.mean, found.half_width) == (0, math.inf)


def test_nothing_in_runs_too_short_to_tell_how_seldom_is_no_exact_zero(template):
    nothing = template.model_copy(update={"rate": no_interval(0.0, 0.95, 0)})
    assert estimate([nothing] * 3).rate.half_width == math.inf
    never_seen = template.model_copy(update={"rate": never(2.0, 0.95, 9)})
    found = estimate([never_seen] * 3).rate
    assert (found.mean, found.low) == (0, 0)
    assert found.high == pytest.approx(never_seen.rate.high / 3)
