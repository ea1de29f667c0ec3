"""The observers of a search as one automaton: what they make of what is told is computed once for each state."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from kactors.checker.automata import Vocabulary
from kactors.checker.frozen import Frozen, freeze, freeze_classes
from kactors.checker.origin import hear_all
from kactors.engine.errors import UsageError
from kactors.engine.observer import Observer
from protocols.stop import AnyStop


class Watch:
    """All observers of a search.

    Args:
        observers: as the set-up left them.
        vocabulary: what the numbers of tellings mean.

    Attributes:
        first: their first state.

    Raises:
        UsageError: a property holds what cannot be copied or compared, or changes what all of its copies share.
    """

    def __init__(self, observers: tuple[Observer, ...], vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._states: list[tuple[Observer, ...]] = []
        self._known: dict[Frozen, int] = {}
        self._heard: dict[tuple[int, int], tuple[int, AnyStop | None]] = {}
        self._ways: dict[int, tuple[int, int]] = {}
        self._judged: dict[int, AnyStop | None] = {}
        for observer in observers:
            _check_plain(observer)
        self._kept = [freeze_classes(observer) for observer in observers]
        self.first = self._number(observers)

    def hear(self, state: int, telling: int) -> tuple[int, AnyStop | None]:
        """Return the state after a telling, and what was found in it."""
        known = self._heard.get((state, telling))
        if known is None:
            known = self._heard[state, telling] = self._hear(state, telling)
            self._ways.setdefault(known[0], (state, telling))
        return known

    def came_from(self, state: int) -> tuple[int, int]:
        """Return (state before, telling) of the first way that led to a state other than the first."""
        return self._ways[state]

    @property
    def states(self) -> int:
        """How many different states have been seen."""
        return len(self._states)

    @property
    def heard(self) -> Mapping[tuple[int, int], tuple[int, AnyStop | None]]:
        """By (state, telling) what has been heard so far: the state after it, and what was found."""
        return self._heard

    def judge(self, state: int) -> AnyStop | None:
        """Return what the observers find at the end of a run that came to rest."""
        if state not in self._judged:
            observers = copy.deepcopy(self._states[state])
            findings = [observer.finish(0) for observer in observers]
            self._judged[state] = next((finding for finding in findings if finding is not None), None)
        return self._judged[state]

    def observers(self, state: int) -> tuple[Observer, ...]:
        """Return the observers as they are in a state: to look at, not to tell anything."""
        return self._states[state]

    def _hear(self, state: int, telling: int) -> tuple[int, AnyStop | None]:
        observers = copy.deepcopy(self._states[state])
        finding: Any = hear_all(observers, list(self._vocabulary.tellings[telling]))
        for observer, kept in zip(observers, self._kept, strict=True):
            if freeze_classes(observer) != kept:
                raise UsageError(
                    f"property {_name(observer)} has changed an attribute of its class, which all copies share: what "
                    "it remembers must lie in attributes that __init__ gives to the object (self.seen = {})"
                )
        return self._number(observers), finding

    def _number(self, observers: tuple[Observer, ...]) -> int:
        key = freeze(observers)
        number = self._known.get(key)
        if number is None:
            number = self._known[key] = len(self._states)
            self._states.append(observers)
        return number


def _name(observer: Observer) -> str:
    return str(getattr(observer, "name", type(observer).__name__))


def _check_plain(observer: Observer) -> None:
    """Refuse one that a search cannot follow."""
    try:
        freeze(copy.deepcopy(observer))
    except TypeError as error:
        raise UsageError(
            f"property {_name(observer)}: a search copies and compares what it remembers, so that must be plain data "
            f"(ints, strings, lists, dicts, sets): {error}"
        ) from error
