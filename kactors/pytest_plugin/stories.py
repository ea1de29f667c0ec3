"""``assert_story``: steps occur in this order, whatever else happens in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from kactors.checker.story import in_words
from kactors.engine.errors import UsageError
from kactors.pytest_plugin.driven import DrivenMachine
from kactors.pytest_plugin.failures import Failure, SearchFailure
from protocols.search import Found

AFTER: Final = 12
"""Steps shown of what happened instead."""

Pattern = tuple[str, str]
Teller = DrivenMachine | Found | SearchFailure


@dataclass(frozen=True)
class Told:
    """One step: who did it, to whom it was said, what, what came of it, and both in the report's words."""

    who: str
    whom: str
    what: str
    effect: str = ""
    does: str = ""

    def __str__(self) -> str:
        return f"{self.who}: {self.what} ({self.does})" if self.does else f"{self.who} -> {self.whom}: {self.what}"

    def matches(self, pattern: Pattern) -> bool:
        """Return whether a pattern means this step."""
        who, what = pattern
        return self.by(who) and self.says(what)

    def by(self, who: str) -> bool:
        """Return whether who is meant: a glob of the doer."""
        return fnmatchcase(self.who, who)

    def says(self, what: str) -> bool:
        """Return whether what is meant: a message's name, a glob of the message with its fields, or also its effect."""
        texts = (self.what.partition("(")[0], self.what, f"{self.what} -> {self.effect}", self.does)
        return any(fnmatchcase(text, what) for text in texts)


def assert_story(teller: Teller, steps: Sequence[Pattern]) -> None:
    """Assert that steps occur in this order, others in between.

    Args:
        teller: a driven machine, whose steps are its deliveries so far; or a finding (what ``pytest.raises`` caught, or
            its ``found``), whose steps are those of the story in the report.
        steps: (who, what): globs of who did it (``cpu1``, ``cpu*``; of a machine the sender, of a finding the column),
            and of the message: its name (``LockPte``), it with its fields (``ReadPmd(address=0x7e*)``), or, of a
            finding, with its effect too (``LockPte* -> waits``), or the report's words (``pte_lock*``).

    Raises:
        Failure: with the first step that is missing, where it does occur, and what happened instead.
        UsageError: a pattern is none.
    """
    wrong = next((step for step in steps if not _is_pattern(step)), None)
    if wrong is not None:
        raise UsageError(f"a step of a story is (who, what), as in ('cpu1', 'LockPte'), not {wrong!r}")
    story = _told(teller)
    places = _places(story, steps)
    if len(places) < len(steps):
        raise Failure(_difference(story, steps, places))


def _is_pattern(step: object) -> bool:
    match step:
        case (str(), str()):
            return True
    return False


def _told(teller: Teller) -> Sequence[Told]:
    if isinstance(teller, DrivenMachine):
        return [
            Told(sender.name, receiver.name, in_words(message))
            for _, receiver, sender, _, message in teller.deliveries()
        ]
    found = teller.found if isinstance(teller, SearchFailure) else teller
    return [Told(step.on, step.receiver, step.says, step.effect, step.does) for step in found.story]


def _places(story: Sequence[Told], steps: Sequence[Pattern]) -> list[int]:
    """Return where each step occurs, the earliest way; shorter than the steps where one does not."""
    places: list[int] = []
    following = 0
    for pattern in steps:
        found = next((place for place in range(following, len(story)) if story[place].matches(pattern)), None)
        if found is None:
            break
        places.append(found)
        following = found + 1
    return places


def _difference(story: Sequence[Told], steps: Sequence[Pattern], places: Sequence[int]) -> str:
    missing = len(places)
    lines = [f"the story of {len(story)} steps lacks step {missing + 1} of {len(steps)}:"]
    width = max(len(who) for who, _ in steps)
    for number, (who, what) in enumerate(steps):
        mark = f"at {places[number]}" if number < missing else "MISSING" if number == missing else "?"
        lines.append(f"  {mark:>8}  {who:{width}}  {what}")
    following = places[-1] + 1 if places else 0
    lines += _elsewhere(story, steps[missing], following)
    lines.append(f"after step {following - 1} came:" if places else "the story begins:")
    shown = story[following : following + AFTER]
    lines += [f"  {following + number:>8}  {told}" for number, told in enumerate(shown)]
    rest = len(story) - following - len(shown)
    lines.append(f"  ... {rest} more" if rest > 0 else "  (its end)")
    return "\n".join(lines)


def _elsewhere(story: Sequence[Told], pattern: Pattern, following: int) -> list[str]:
    """Say where a missing step does occur, or one that is like it."""
    _, what = pattern
    earlier = [place for place in range(following) if story[place].matches(pattern)]
    if earlier:
        return [f"it occurs too early, at {earlier[-1]}: {story[earlier[-1]]}"]
    others = [place for place in range(following, len(story)) if story[place].says(what)]
    if others:
        return [f"somebody else does it, at {others[0]}: {story[others[0]]}"]
    said = [told for told in story if told.says(what)]
    return [] if said else [f"nobody does {what} at any time"]
