"""When a run has been long enough: a look at what it has done so far, and how far to go before the next one."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kactors.statistics.batch_means import BATCHES_MAX, Batches, batch_means
from kactors.statistics.means import Samples
from kactors.statistics.warm_up import mser5

GROWTH_MIN, GROWTH_MAX = 1.15, 2.0
"""From one look to the next a run grows by what the interval still lacks, within these factors: looking more often
would end runs in moments in which the interval is narrow by chance."""


@dataclass(frozen=True)
class Look:
    """What a series says about its mean.

    Attributes:
        skip: samples that are left out as warm-up.
        warm: the warm-up is over.
        long: the run has been as long as the caller wants it to be in any case.
        batches: the mean of the rest.
    """

    skip: int
    warm: bool
    long: bool
    batches: Batches

    def lacks(self, relative: float | None) -> float:
        """Return by how much the run would have to grow; at most 1: the interval is as narrow as ``relative`` says."""
        width = self.batches.interval.relative
        if relative is None or not (self.warm and self.long and self.batches.uncorrelated and math.isfinite(width)):
            return GROWTH_MAX
        return float((width / relative) ** 2)

    def growth(self, relative: float | None) -> float:
        """Return the factor by which the run is to grow before the next look."""
        return min(max(self.lacks(relative), GROWTH_MIN), GROWTH_MAX)

    @property
    def doubt(self) -> str:
        """What to hold against the interval."""
        if not self.long:
            return "the run is too short for its interval to be believed"
        if not self.warm:
            return "the warm-up may not have been over"
        if not self.batches.uncorrelated:
            return "the run is too short for batches that do not correlate"
        return "the interval was not narrow enough by then"


def look(
    series: Samples, confidence: float, *, skip: int | None = None, batches: int = BATCHES_MAX, long: bool = True
) -> Look:
    """Look at a series.

    Args:
        series: equal slices in the order of time, of shape (n,).
        confidence: of the interval.
        skip: slices to leave out as warm-up; None: as many as MSER-5 says.
        batches: how many to begin with.
        long: as of ``Look``.
    """
    if skip is None:
        found = mser5(series)
        skip, warm = found.cut, found.over
    else:
        skip, warm = min(skip, len(series)), skip < len(series)
    return Look(skip, warm, long, batch_means(series[skip:], confidence, batches=batches))
