"""How studies write figures that have an interval, or none."""

import math

import pytest

from kactors.studies.words import rate, share, times
from protocols.measurement import Interval


def about(mean, half):
    return Interval(mean=mean, low=mean - half, high=mean + half, confidence=0.95, n=10)


@pytest.mark.parametrize(
    ("write", "interval", "text"),
    [
        (times, about(6.43, 0.2), "6.43x (6.23 to 6.63)"),
        (times, about(6.43, math.inf), "6.43x (no interval)"),
        (times, about(0.0, math.inf), "none: a rate is 0"),
        (rate, about(95_905, 959), "95,905 ±1.0 %"),
        (rate, about(0.0, math.inf), "0 (no interval)"),
        (share, about(0.031, 0.011), "3.1 % (2.0 to 4.2)"),
        (share, about(0.031, math.inf), "3.1 % (no interval)"),
    ],
)
def test_no_figure_stands_without_its_interval_or_without_saying_that_it_has_none(write, interval, text):
    assert write(interval) == text
