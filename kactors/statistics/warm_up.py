"""MSER-5: where the warm-up of a series ends.

White, Cobb and Spratt, "A comparison of five steady-state truncation heuristics for simulation", Winter Simulation
Conference 2000.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kactors.statistics.means import Samples

GROUP = 5
"""Observations that are averaged first, as the 5 in the name says."""


@dataclass(frozen=True)
class WarmUp:
    """Where a series becomes steady.

    Attributes:
        cut: observations to leave out at the beginning.
        over: False: the best cut is half of the series, the longest that is tried; the warm-up may last longer.
    """

    cut: int
    over: bool


def mser5(samples: Samples) -> WarmUp:
    """Return the cut after which the mean's standard error, as if of independent samples, is least.

    Args:
        samples: a series in the order of time, of shape (n,); below 10 groups of 5 nothing can be told.
    """
    values = np.asarray(samples, dtype=float)
    groups = len(values) // GROUP
    if groups < 2 * GROUP:
        return WarmUp(0, over=False)
    means = values[: groups * GROUP].reshape(groups, GROUP).mean(axis=1)
    # Sums over what is left after each cut, from the end: one pass instead of one for each cut.
    left = np.arange(groups, 0, -1)
    total, squares = np.cumsum(means[::-1])[::-1], np.cumsum((means**2)[::-1])[::-1]
    errors = (squares - total**2 / left) / left**2
    # In the second half a few groups that agree by chance would win; a series that is still on its way has its least
    # error where the search ends.
    half = groups // 2
    cut = int(np.argmin(errors[: half + 1]))
    return WarmUp(cut * GROUP, over=cut < half)
