import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from benchmarks.coverage import autoregressive
from kactors.statistics import (
    Interval,
    batch_means,
    fieller,
    lag1,
    logarithm,
    mean_interval,
    mser5,
    paired_difference,
    paired_ratio,
    quantile_interval,
    quotient,
    ratio,
    rest_of,
    von_neumann,
    wilson,
)

SEEDS = st.integers(0, 2**32 - 1)
TRIALS = 400


def coverage(trial, truth):
    """Return how many of TRIALS intervals hold the truth; 380 of them should, 6 up or down being one deviation."""
    generator = np.random.default_rng(20180403)
    return sum(trial(generator).holds(truth) for _ in range(TRIALS))


def test_an_interval_of_independent_samples_holds_the_mean_as_often_as_it_says():
    assert 365 <= coverage(lambda generator: mean_interval(generator.exponential(2.0, 40)), 2.0) <= 395
    assert 365 <= coverage(lambda generator: mean_interval(generator.normal(3.0, 1.0, 5)), 3.0) <= 395


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_batch_means_hold_the_mean_of_a_correlated_series_nearly_as_often(phi):
    hits = coverage(lambda generator: batch_means(autoregressive(generator, 2000, phi)).interval, 10.0)
    assert hits >= 360
    # What the test and the widening are for: without either, the samples taken as they come.
    naive = coverage(lambda generator: mean_interval(autoregressive(generator, 2000, phi)), 10.0)
    assert naive <= 330 or not phi


def test_batches_of_a_series_that_hardly_moves_are_told_to_be_correlated():
    walk = np.cumsum(np.random.default_rng(1).standard_normal(500))
    assert not batch_means(walk).uncorrelated


def test_batches_are_doubled_until_they_pass():
    found = batch_means(autoregressive(np.random.default_rng(5), 1280, 0.9))
    assert found.uncorrelated
    assert found.size in (40, 80)
    assert found.interval.n == 1280 // found.size


def test_the_test_of_von_neumann_takes_independent_samples_for_correlated_as_often_as_it_says():
    generator = np.random.default_rng(3)
    refused = sum(not von_neumann(generator.standard_normal(32)) for _ in range(1000))
    assert 70 <= refused <= 130


@given(SEEDS, st.floats(-0.9, 0.9))
@settings(max_examples=25, deadline=None)
def test_lag_1_is_that_of_the_series(seed, phi):
    assert lag1(autoregressive(np.random.default_rng(seed), 3000, phi)) == pytest.approx(phi, abs=0.12)


def test_a_constant_series_is_exact_and_not_correlated():
    found = batch_means([0.1] * 100)
    assert found.uncorrelated
    assert found.interval.half_width == pytest.approx(0, abs=1e-12)
    assert lag1([0.1] * 100) == 0


def test_a_mean_of_zero_is_not_known_to_any_share_of_it():
    assert batch_means([0.0] * 100).interval.relative == math.inf


def test_too_few_samples_have_no_interval():
    assert mean_interval([3.0]).relative == math.inf
    assert batch_means([1.0, 2.0]).interval.relative == math.inf
    assert not batch_means([1.0, 2.0]).uncorrelated
    assert not mser5([1.0] * 49).over


@given(SEEDS, st.integers(20, 150), st.floats(5, 50))
@settings(max_examples=40, deadline=None)
def test_mser_cuts_a_transient_off_and_little_else(seed, length, height):
    series = np.random.default_rng(seed).standard_normal(500)
    series[:length] += height
    found = mser5(series)
    assert found.over
    assert length - 5 <= found.cut <= length + 150


def test_mser_says_that_a_warm_up_is_not_over():
    assert not mser5(np.linspace(100, 0, 500)).over


def test_common_random_numbers_narrow_the_interval_of_a_difference_and_of_a_ratio():
    generator = np.random.default_rng(4)
    common = generator.normal(100, 20, 30)
    base, other = common + generator.normal(0, 1, 30), 1.1 * common + generator.normal(0, 1, 30)
    alone = [mean_interval(samples).half_width for samples in (base, other)]
    assert paired_difference(other, base).half_width < math.hypot(*alone) / 3
    for found in (paired_ratio(other, base), fieller(other, base)):
        assert found.holds(1.1)
        assert found.half_width < 0.01
    assert ratio(mean_interval(other), mean_interval(base)).half_width > 0.05


def test_intervals_of_a_ratio_hold_it_as_often_as_they_say():
    def pairs(generator):
        base = generator.normal(10, 2, 20)
        return 2 * base + generator.normal(0, 2, 20), base

    assert coverage(lambda generator: fieller(*pairs(generator)), 2.0) >= 365
    assert coverage(lambda generator: paired_ratio(*pairs(generator)), 2.0) >= 365

    def apart(generator):
        return ratio(mean_interval(generator.normal(30, 3, 15)), mean_interval(generator.normal(10, 1, 25)))

    assert 365 <= coverage(apart, 3.0) <= 395


def test_a_quotient_of_two_estimates_of_any_sign_holds_it_as_often_as_it_says():
    def trial(generator):
        top, bottom = generator.normal(-0.2, 0.4, 16), generator.normal(2, 1, 24)
        return quotient(mean_interval(top), mean_interval(bottom))

    assert 360 <= coverage(trial, -0.1) <= 395


def test_a_quotient_knows_what_its_two_sides_have_in_common():
    def trial(generator, covariance):
        own, common = generator.normal(1, 1, 20), generator.normal(3, 1, 20)
        part, whole, of_both = (mean_interval(samples) for samples in (common, own + common, common))
        return quotient(part, whole, covariance=of_both.half_width**2 if covariance else 0.0)

    assert 365 <= coverage(lambda generator: trial(generator, True), 0.75) <= 395
    one, other = trial(np.random.default_rng(1), True), trial(np.random.default_rng(1), False)
    assert one.half_width < other.half_width


def test_nothing_is_known_of_a_quotient_by_what_may_be_zero_or_of_the_logarithm_of_that():
    vague, sure = mean_interval([-1.0, 2.0, 1.0]), mean_interval([1.0, 1.1, 0.9])
    assert quotient(sure, vague).half_width == logarithm(vague).half_width == math.inf
    assert quotient(sure, mean_interval([1.0])).half_width == math.inf
    assert logarithm(sure).mean == pytest.approx(0)
    assert rest_of(sure).mean == pytest.approx(0)
    assert (rest_of(sure).low, rest_of(sure).high) == (1 - sure.high, 1 - sure.low)


def test_fiellers_interval_is_infinite_where_the_base_may_be_zero():
    assert fieller([1.0, 2.0, 3.0], [-1.0, 0.5, 1.0]).half_width == math.inf


def test_pairs_take_as_many_of_both():
    with pytest.raises(ValueError, match="3 samples cannot be paired with 2"):
        paired_difference([1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match="positive"):
        paired_ratio([1, 0], [1, 1])


@pytest.mark.parametrize(("quantile", "truth"), [(0.5, math.log(2)), (0.9, math.log(10))])
def test_order_statistics_hold_a_quantile_at_least_as_often_as_they_say(quantile, truth):
    assert coverage(lambda generator: quantile_interval(generator.exponential(1.0, 60), quantile), truth) >= 370


def test_a_quantile_that_too_few_samples_reach_has_no_upper_end():
    found = quantile_interval(range(50), 0.99)
    assert (found.mean, found.high) == (49, math.inf)
    assert found.low > 40


@given(st.integers(0, 200), st.integers(0, 200))
def test_wilsons_interval_lies_within_0_and_1_and_holds_the_share(hits, others):
    found = wilson(hits, hits + others)
    assert 0 <= found.low <= found.mean <= found.high <= 1
    assert wilson(hits, hits + others, 0.99).half_width >= found.half_width


def test_wilson_covers_rare_hits():
    assert coverage(lambda generator: wilson(int(generator.binomial(500, 0.004)), 500), 0.004) >= 370
    assert wilson(0, 100).high == pytest.approx(0.037, abs=0.001)


def test_an_interval_survives_json_even_where_it_is_infinite():
    for found in (mean_interval([1.0]), mean_interval([1.0, 2.0, 4.0])):
        assert Interval.model_validate_json(found.model_dump_json()) == found
    assert mean_interval([1.0]).model_dump(mode="json")["high"] is None
