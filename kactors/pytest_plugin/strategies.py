"""Hypothesis strategies: random programs on few pages, for ``@given``. Hypothesis is in the extra ``kactors[test]``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kactors.engine.errors import UsageError
from kactors.pytest_plugin.page_program import NAMES, Call, Name, PageProgram

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

PAGES_MAX = 256
"""Fewer than one page table maps on any machine, so that all of a program happens under one PMD."""


def calls(pages: int = 2, names: Sequence[Name] = NAMES) -> SearchStrategy[Call]:
    """Return a strategy of single calls; they shrink towards ``names[0]`` on page 0.

    Args:
        pages: how many pages there are.
        names: which calls.

    Raises:
        UsageError: an unknown name, no page, or too many; or Hypothesis is not installed.
    """
    strategies: Any = _hypothesis_strategies()
    unknown = [name for name in names if name not in NAMES]
    if unknown or not names:
        raise UsageError(f"names = {list(names)}: choose from {', '.join(NAMES)}")
    if not 1 <= pages <= PAGES_MAX:
        raise UsageError(f"pages = {pages}: from 1 to {PAGES_MAX} fit under one PMD")
    firsts = strategies.integers(0, pages - 1)

    def with_length(name_and_first: tuple[Name, int]) -> Any:
        name, first = name_and_first
        most = 1 if name in {"load", "store"} else pages - first
        return strategies.builds(Call, strategies.just(name), strategies.just(first), strategies.integers(1, most))

    drawn: SearchStrategy[Call] = strategies.tuples(strategies.sampled_from(names), firsts).flatmap(with_length)
    return drawn


def programs(
    threads: tuple[int, int] = (1, 3), pages: int = 2, calls_max: int = 3, names: Sequence[Name] = NAMES
) -> SearchStrategy[PageProgram]:
    """Return a strategy of programs: fewest threads, then fewest calls are simplest.

    Args:
        threads: fewest and most.
        pages: how many pages there are.
        calls_max: most calls of one thread. A search of three threads with three calls each takes long.
        names: which calls, the simplest first.

    Raises:
        UsageError: an argument out of range; or Hypothesis is not installed.
    """
    strategies: Any = _hypothesis_strategies()
    fewest, most = threads
    if not 1 <= fewest <= most:
        raise UsageError(f"threads = {threads}: fewest and most, at least 1")
    if calls_max < 1:
        raise UsageError(f"calls_max = {calls_max}: at least 1")
    body = strategies.lists(calls(pages, names), min_size=1, max_size=calls_max)
    bodies = strategies.lists(body, min_size=fewest, max_size=most)
    drawn: SearchStrategy[PageProgram] = strategies.builds(PageProgram, bodies, pages=strategies.just(pages))
    return drawn


def _hypothesis_strategies() -> Any:
    try:
        from hypothesis import strategies
    except ImportError:
        raise UsageError("kactors' strategies need Hypothesis: pip install 'kactors[test]'") from None
    return strategies
