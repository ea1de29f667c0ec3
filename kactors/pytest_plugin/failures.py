"""How a test fails by what a machine did: a line, and sections of their own in pytest's report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

from kactors.engine.errors import UsageError
from protocols.search import Found
from protocols.stop import AnyStop

Section = tuple[str, str]


class Failure(AssertionError):
    """What a test expected did not come true.

    Args:
        text: the line.
        sections: (title, text) of what the report shows beside it.
    """

    def __init__(self, text: str, sections: tuple[Section, ...] = ()) -> None:
        super().__init__(text)
        self._sections = sections

    def sections(self) -> tuple[Section, ...]:
        """Return what the report shows beside the line."""
        return self._sections


class FindingFailure(Failure):
    """A machine came to a deadlock, a livelock, a violation or an exceeded bound.

    Attributes:
        stop: which.
    """

    def __init__(self, text: str, stop: AnyStop, sections: tuple[Section, ...] = ()) -> None:
        super().__init__(text, sections)
        self.stop = stop


class SearchFailure(FindingFailure):
    """A search found an interleaving that ends so.

    It is shrunk when somebody looks at it: Hypothesis raises many of them, and shows one.

    Args:
        text: the line.
        stop: what was found.
        find: shrinks it.
        sections_of: makes the report's sections of it.
    """

    def __init__(
        self,
        text: str,
        stop: AnyStop,
        find: Callable[[], Found],
        sections_of: Callable[[Found], tuple[Section, ...]],
    ) -> None:
        super().__init__(text, stop)
        self._find = find
        self._sections_of = sections_of

    @cached_property
    def found(self) -> Found:
        """The finding, shrunk, with its story and its schedule."""
        return self._find()

    def sections(self) -> tuple[Section, ...]:
        """Return the story and the line that replays it."""
        return self._sections_of(self.found)


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield what is in an exception group, in groups in it too; an exception that is none is all there is."""
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from leaves(part)
    else:
        yield error


def told_in_a_line(error: BaseException) -> bool:
    """Return whether the exception's text says all: where in kactors it was raised is of no interest."""
    return isinstance(error, (Failure, UsageError))
