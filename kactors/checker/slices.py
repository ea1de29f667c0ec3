"""Long work in slices: generators that yield whenever the caller may do something else, and return what came of it."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

Slices = Generator[None, None, T]


def finish(work: Slices[T]) -> T:
    """Do the work in one go, and return what came of it."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            result: T = done.value
            return result
