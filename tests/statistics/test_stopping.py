import math

import numpy as np
import pytest

from benchmarks.coverage import autoregressive, stopped
from kactors.statistics.stopping import GROWTH_MAX, GROWTH_MIN, look


def test_a_run_grows_by_what_its_interval_lacks():
    series = autoregressive(np.random.default_rng(1), 1000, 0.0, mean=10)
    seen = look(series, 0.95)
    width = seen.batches.interval.relative
    assert seen.lacks(width) == pytest.approx(1)
    assert seen.growth(width / math.sqrt(1.5)) == pytest.approx(1.5)
    assert seen.growth(width / 10) == GROWTH_MAX
    assert seen.growth(width) == GROWTH_MIN


def test_an_interval_that_is_not_to_be_believed_is_never_narrow_enough():
    series = autoregressive(np.random.default_rng(1), 1000, 0.0, mean=10)
    assert look(series, 0.95).lacks(0.5) < 1
    assert look(series, 0.95, long=False).lacks(0.5) == GROWTH_MAX
    assert look(np.linspace(100, 1, 1000), 0.95).lacks(0.5) == GROWTH_MAX
    assert look(np.cumsum(series - 10) + 1000, 0.95).lacks(0.5) == GROWTH_MAX
    assert look(series[:5], 0.95).lacks(0.5) == GROWTH_MAX


def test_each_doubt_has_its_words():
    series = autoregressive(np.random.default_rng(1), 1000, 0.0, mean=10)
    doubts = {
        look(series, 0.95, long=False).doubt,
        look(np.linspace(100, 1, 1000), 0.95).doubt,
        look(series, 0.95).doubt,
    }
    assert len(doubts) == 3


def test_a_warm_up_that_is_given_is_cut_off():
    series = np.concatenate([np.full(100, 50.0), autoregressive(np.random.default_rng(1), 900, 0.0, mean=10)])
    assert look(series, 0.95, skip=100).batches.interval.holds(10)
    assert look(series, 0.95, skip=100).skip == 100
    assert not look(series, 0.95, skip=5000).warm


@pytest.mark.parametrize(("phi", "least"), [(0.0, 90), (0.7, 86), (0.9, 84)])
def test_runs_that_end_by_the_rule_hold_the_mean_nearly_as_often_as_they_say(phi, least):
    found = [stopped(np.random.default_rng(seed), phi, 0.02) for seed in range(100)]
    assert sum(interval.holds(10) for interval, _ in found) >= least
    assert all(interval.relative <= 0.02 for interval, _ in found)


def test_a_longer_memory_takes_a_longer_run():
    lengths = [
        np.mean([stopped(np.random.default_rng(seed), phi, 0.02)[1] for seed in range(10)]) for phi in (0.0, 0.9)
    ]
    # The integrated correlation times are 1 and 19; the variances are 1 and 5.3.
    assert 20 < lengths[1] / lengths[0] < 300
