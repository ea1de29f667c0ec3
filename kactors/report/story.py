"""A schedule drawn as columns, one for each CPU and for khugepaged, narrow enough for a commit message."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from protocols.search import StoryStep

WIDTH = 100
INDENT = "  "
GAP = 2
NARROWEST = 12
HOPELESS = "critical: from here on every continuation fails"


def story(steps: Sequence[StoryStep], critical: int | None, *, width: int = WIDTH) -> list[str]:
    """Return the lines of a story: a step a line, in the column of the CPU whose doing it is.

    Args:
        steps: in their order.
        critical: number, from 0, of the first step after which every continuation fails; None: not known.
        width: no line is longer, unless there are very many CPUs.
    """
    names = sorted({step.on for step in steps}, key=_column_order)
    places = [_place(step) for step in steps]
    numbers, right = len(str(len(steps))) + 1, max(map(len, places), default=0)
    left = len(INDENT) + numbers + GAP
    column = max((width - left - right) // max(len(names), 1), NARROWEST)
    titles = [name.replace("cpu", "CPU") for name in names]
    lines = [_row("", titles, column, left), _row("", ["-" * len(title) for title in titles], column, left)]
    for number, (step, place) in enumerate(zip(steps, places, strict=True)):
        mark = f"{number + 1}{'*' if number == critical else ' '}".rjust(numbers)
        offset = left + column * names.index(step.on)
        first, *more = _wrapped(step.does, column - GAP)
        drawn = f"{INDENT}{mark}".ljust(offset) + first
        lines.append(drawn.ljust(left + column * len(names)) + place)
        lines += [" " * offset + line for line in more]
        if number == critical:
            lines += [" " * offset + line for line in _wrapped(f"* {HOPELESS}", column - GAP)]
    return [line.rstrip() for line in lines]


def _wrapped(text: str, width: int) -> list[str]:
    return wrap(text, width, subsequent_indent=INDENT, break_on_hyphens=False)


def _row(mark: str, cells: Sequence[str], column: int, left: int) -> str:
    return mark.ljust(left) + "".join(cell.ljust(column) for cell in cells)


def _column_order(name: str) -> tuple[bool, int, str]:
    number = name.removeprefix("cpu")
    return not number.isdigit(), int(number) if number.isdigit() else 0, name


def _place(step: StoryStep) -> str:
    """Return file:line of a step's source."""
    return ":".join(step.source.split(":", 2)[:2])
