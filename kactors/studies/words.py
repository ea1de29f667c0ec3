"""How studies write figures that have an interval."""

from __future__ import annotations

import math
from collections.abc import Iterable
from textwrap import wrap

from kactors.report.units import count
from protocols.measurement import Interval

WIDTH = 110
NO_RATIO = "none: a rate is 0"
NO_INTERVAL = "(no interval)"
NOISE = "~"
"""Before a figure whose interval holds the value of no effect: it may be chance."""


def rate(interval: Interval) -> str:
    """Return a figure with its half-width in percent: 95,905 ±2.0 %."""
    if not math.isfinite(interval.half_width):
        return f"{count(interval.mean)} {NO_INTERVAL}"
    return f"{count(interval.mean)} ±{100 * interval.relative:.1f} %"


def times(interval: Interval) -> str:
    """Return a ratio with its ends: 6.43x (6.20 to 6.67); where one of two rates is 0 there is none."""
    if not interval.mean:
        return NO_RATIO
    if not math.isfinite(interval.half_width):
        return f"{interval.mean:.2f}x {NO_INTERVAL}"
    return f"{interval.mean:.2f}x ({interval.low:.2f} to {interval.high:.2f})"


def share(interval: Interval) -> str:
    """Return a part of a whole in percent with its ends: 3.1 % (2.0 to 4.2)."""
    low, mean, high = (100 * each for each in (interval.low, interval.mean, interval.high))
    return f"{mean:.1f} % ({low:.1f} to {high:.1f})" if math.isfinite(high - low) else f"{mean:.1f} % {NO_INTERVAL}"


def all_of(words: list[str]) -> str:
    """Return words as a list in a sentence: a, b and c."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def sentences(texts: Iterable[str]) -> list[str]:
    """Return each text as an item of a list, wrapped."""
    items = [
        wrap(text, WIDTH, initial_indent="  - ", subsequent_indent="    ", break_on_hyphens=False) for text in texts
    ]
    return [line for item in items for line in item]
