"""Time that passes more slowly or faster than it was computed: exact, in whole ns."""

from __future__ import annotations

from typing import TypeAlias

Ratio: TypeAlias = tuple[int, int]
"""(new, old): what took ``old`` takes ``new``."""


def stretched(at_ns: int, from_ns: int, factor: Ratio) -> int:
    """Return where an instant comes to lie when what follows ``from_ns`` takes ``factor`` as long."""
    if at_ns <= from_ns:
        return at_ns
    return from_ns + (at_ns - from_ns) * factor[0] // factor[1]
