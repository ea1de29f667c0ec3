import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from kactors.statistics import Interval
from kactors.statistics.scalability import fit_usl

SIZES = [1, 2, 4, 8, 16, 32, 64, 128]


def law(cpus, lambda_, sigma, kappa):
    return lambda_ * cpus / (1 + sigma * (cpus - 1) + kappa * cpus * (cpus - 1))


def known(rate, relative=0.01):
    return Interval(mean=rate, low=rate * (1 - relative), high=rate * (1 + relative), confidence=0.95, n=30)


@given(st.floats(1e2, 1e7), st.floats(0.001, 0.9), st.floats(1e-5, 0.01))
@settings(max_examples=40, deadline=None)
def test_the_law_that_the_rates_follow_is_found(lambda_, sigma, kappa):
    found = fit_usl(SIZES, [known(law(cpus, lambda_, sigma, kappa)) for cpus in SIZES])
    assert found.fits
    assert found.lambda_.mean == pytest.approx(lambda_, rel=1e-3)
    assert found.sigma.mean == pytest.approx(sigma, rel=0.01, abs=1e-4)
    assert found.kappa.mean == pytest.approx(kappa, rel=0.01, abs=1e-6)
    assert max(map(abs, found.residuals)) < 1e-3
    assert found.peak_cpus == pytest.approx(max(math.sqrt((1 - sigma) / kappa), 1), rel=0.02)


def test_intervals_of_the_parameters_hold_them_as_often_as_they_say():
    generator = np.random.default_rng(20180403)
    truth = (1000, 0.05, 0.0005)
    hits = np.zeros(3)
    for _ in range(100):
        noisy = [known(law(cpus, *truth) * (1 + 0.01 * generator.standard_normal()), 0.02) for cpus in SIZES]
        found = fit_usl(SIZES, noisy)
        hits += [
            each.holds(value) for each, value in zip((found.lambda_, found.sigma, found.kappa), truth, strict=True)
        ]
    assert hits.min() >= 88


def test_rates_without_contention_have_no_peak():
    found = fit_usl(SIZES, [known(5.0 * cpus) for cpus in SIZES])
    assert found.sigma.mean == pytest.approx(0, abs=1e-6)
    assert found.rate(1000) == pytest.approx(5000, rel=0.01)
    assert found.peak_cpus > 10_000


def test_rates_that_break_off_are_told_not_to_fit():
    found = fit_usl(SIZES, [known(cpus if cpus <= 16 else 2) for cpus in SIZES])
    assert not found.fits
    assert max(map(abs, found.residuals)) > 0.15


def test_three_sizes_are_too_few():
    assert fit_usl([1, 2, 4], [known(1), known(2), known(3)]) is None
    nothing = Interval(mean=0, low=0, high=math.inf, confidence=0.95, n=0)
    assert fit_usl([1, 2, 4, 8], [known(1), known(2), known(3), nothing]) is None
