"""Percentiles by nearest rank."""

from hypothesis import given, strategies as st

from kactors.observers.distribution import Samples
from protocols.result import Distribution


def summary_of(values):
    samples = Samples()
    for value in values:
        samples.add(value)
    return samples.summary()


def test_without_samples_everything_is_0():
    assert summary_of([]) == Distribution(count=0, p50_ns=0, p90_ns=0, p99_ns=0, max_ns=0, total_ns=0)


def test_one_sample_is_every_percentile():
    assert summary_of([7]) == Distribution(count=1, p50_ns=7, p90_ns=7, p99_ns=7, max_ns=7, total_ns=7)


def test_nearest_rank_of_a_hundred():
    expected = Distribution(count=100, p50_ns=50, p90_ns=90, p99_ns=99, max_ns=100, total_ns=5050)
    assert summary_of(reversed(range(1, 101))) == expected


def test_the_rank_is_rounded_up():
    assert summary_of([10, 20, 30]).p50_ns == 20
    assert summary_of([10, 20]).p50_ns == 10
    assert summary_of([10, 20]).p90_ns == 20


@given(st.lists(st.integers(0, 1000), min_size=1), st.sampled_from([(50, "p50_ns"), (90, "p90_ns"), (99, "p99_ns")]))
def test_a_percentile_is_the_least_sample_that_covers_its_share(values, which):
    percent, name = which
    found = getattr(summary_of(values), name)

    def share(limit):
        return 100 * sum(value <= limit for value in values)

    assert found in values
    assert share(found) >= percent * len(values)
    assert all(share(value) < percent * len(values) for value in values if value < found)
