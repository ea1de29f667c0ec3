"""Pictures of letters: curves in a pipe as on a terminal, without colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log2
from typing import Final

from plotext import figure, uncolorize

from kactors.report.units import count

Curve = Sequence[tuple[float, float]]
"""Points (x, y)."""

WIDTH: Final = 78
HEIGHT: Final = 18
MARKERS: Final = "ox+*#@%&"
LABEL_DISTANCE: Final = 0.06
"""Names along an axis are at least so far apart, as a part of it."""
SMALL: Final = 10
"""Below, a figure is named with two decimals."""


def picture(
    title: str, curves: Mapping[str, Curve], *, x: str, log_x: bool = True, log_y: bool = False, width: int = WIDTH
) -> list[str]:
    """Return curves as lines of text, empty when there is no point to draw.

    Args:
        title: says what y is, with its unit.
        curves: by their names in the legend below; at most as many as there are markers.
        x: what x is, with its unit.
        log_x: each doubling of x takes equal space; x is then above 0.
        log_y: the same of y.
        width: columns.
    """
    if not any(curves.values()):
        return []
    figure.clear()
    figure.theme("clear")
    figure.plot_size(width, HEIGHT)
    figure.title(title)
    figure.label(x, "x")
    for marker, points in zip(MARKERS, curves.values(), strict=False):
        across = [_place(at, logarithmic=log_x) for at, _ in points]
        up = [_place(value, logarithmic=log_y) for _, value in points]
        figure.draw(figure.signal(across, up, marker=marker).lines())
    points = [point for curve in curves.values() for point in curve]
    _name_ticks("x", [at for at, _ in points], logarithmic=log_x)
    _name_ticks("y", [value for _, value in points], logarithmic=log_y)
    text: str = uncolorize(str(figure.build()))
    figure.clear()
    # Below and not in the picture, where a legend would lie on the curves.
    legend = [f"  {marker} {name}" for marker, name in zip(MARKERS, curves, strict=False)]
    return [*(line.rstrip() for line in text.splitlines()), *legend]


def _place(value: float, *, logarithmic: bool) -> float:
    """Logarithms are taken here, so that an axis names the values that there are: nobody has 3.16 CPUs."""
    return log2(value) if logarithmic else value


def _name_ticks(axis: str, values: Sequence[float], *, logarithmic: bool) -> None:
    places: dict[float, str] = {}
    wanted = sorted(set(values)) if axis == "x" or logarithmic else _even_steps(values)
    lowest, highest = (_place(value, logarithmic=logarithmic) for value in (wanted[0], wanted[-1]))
    for value in reversed(wanted):
        place = _place(value, logarithmic=logarithmic)
        if all(abs(place - other) >= LABEL_DISTANCE * (highest - lowest) for other in places):
            places[place] = count(value) if value >= SMALL or value == int(value) else f"{value:.2f}"
    figure.ruler(axis).ticks(list(places), list(places.values()))


def _even_steps(values: Sequence[float]) -> list[float]:
    """Five figures from 0, or from the least if that is below, to the largest."""
    low, high = min(0.0, *values), max(values)
    return [low + (high - low) * step / 4 for step in range(5)] if high > low else [high]
