"""Columns of plain text, as wide as their cells: a pipe gets the same as a terminal, and no cell is ever wrapped."""

from __future__ import annotations

from collections.abc import Sequence, Set

GAP = "  "


def table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1, last_left: bool = False, indent: str = "  "
) -> list[str]:
    """Return lines: a header, then the rows.

    Args:
        headers: one a column.
        rows: each with as many cells.
        left: so many columns from the left are flush left, the others flush right.
        last_left: the last column is flush left too.
        indent: begins each line.
    """
    lines = [list(headers), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    flush_left = {*range(left), *([len(headers) - 1] if last_left else [])}
    return [indent + _line(line, widths, flush_left).rstrip() for line in lines]


def _line(cells: Sequence[str], widths: Sequence[int], flush_left: Set[int]) -> str:
    padded = (
        cell.ljust(width) if place in flush_left else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return GAP.join(padded)
