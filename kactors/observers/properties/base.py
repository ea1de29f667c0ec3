"""What a property is: an observer with a name, whose state is plain data."""

from __future__ import annotations

from typing import ClassVar

from kactors.engine.observer import Observer
from protocols.stop import Violation


def cut_out(ranges: list[tuple[int, int]], first: int, last: int) -> list[tuple[int, int]]:
    """Return ranges [from, to), ascending, without first..last-1."""
    pieces = (piece for start, end in ranges for piece in ((start, min(end, first)), (max(start, last), end)))
    return sorted(piece for piece in pieces if piece[0] < piece[1])


class Property(Observer):
    """Something that no interleaving may break; a user's own is a subclass in a file of its own.

    All that it remembers lies in attributes that hold ints, strings, tuples, lists, dicts, sets and deques of those,
    and nothing else: a search copies and hashes it. Instants (``at_ns``) belong into a finding's text only, because two
    states that differ in nothing but time are one state.

    Attributes:
        name: of the violation, and in the registry.
    """

    name: ClassVar[str]

    def violated(self, text: str) -> Violation:
        """Return the finding: who did what where, in the kernel's words."""
        return Violation(property=self.name, text=text)
