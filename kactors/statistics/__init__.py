"""Samples to intervals: pure functions of numbers, whatever they are samples of.

They import numpy and scipy: whoever starts fast imports this package when it is used.
"""

from kactors.statistics.batch_means import Batches, batch_means, lag1, von_neumann
from kactors.statistics.comparing import fieller, logarithm, paired_difference, paired_ratio, quotient, ratio, rest_of
from kactors.statistics.means import mean_interval, never, no_interval, symmetric, t_quantile
from kactors.statistics.ranks import quantile_interval, wilson
from kactors.statistics.warm_up import WarmUp, mser5
from protocols.measurement import Interval

__all__ = [
    "Batches",
    "Interval",
    "WarmUp",
    "batch_means",
    "fieller",
    "lag1",
    "logarithm",
    "mean_interval",
    "mser5",
    "never",
    "no_interval",
    "paired_difference",
    "paired_ratio",
    "quantile_interval",
    "quotient",
    "ratio",
    "rest_of",
    "symmetric",
    "t_quantile",
    "von_neumann",
    "wilson",
]
