"""Times on the command line: 20ms, 1.5s, 500us, 100ns, or a plain number of ns."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Any

import click

UNITS_NS = {"": 1, "ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
DURATION = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?) ?(ns|us|ms|s|)", re.ASCII)
EXPECTED = "write a time like 20ms, 1.5s, 500us or a plain number of ns"


def parse_duration(text: str) -> int:
    """Return the time in ns.

    Raises:
        ValueError: it is none, or not a whole number of ns of at least 1.
    """
    match = DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(EXPECTED)
    # A fraction and not a float, which has no exact 0.1.
    ns = Fraction(match[1]) * UNITS_NS[match[2]]
    if ns < 1 or ns.denominator != 1:
        raise ValueError(f"it must be a whole number of ns, 1 or more; {EXPECTED}")
    return int(ns)


class Duration(click.ParamType[int]):
    """A click type for times."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the time in ns."""
        try:
            return parse_duration(str(value))
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


class Seconds(click.FloatRange):
    """Seconds of the wall clock, a number from 0 on; neither nan nor inf."""

    def __init__(self) -> None:
        super().__init__(min=0)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number.

        Raises:
            click.BadParameter: it is none, or no end.
        """
        seconds = float(super().convert(value, param, ctx))
        if not math.isfinite(seconds):
            self.fail(f"{value} is no number of seconds", param, ctx)
        return seconds
