"""The one entry of nondeterminism: every decision that the model leaves open is ``choices.pick(label, n)``.

A seeded run, a replay and a search differ in this object only. Each label is a stream of its own, so that one more draw
for one purpose shifts nothing for another.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Protocol


class Choices(Protocol):
    """Whoever decides."""

    def pick(self, label: str, n: int) -> int:
        """Return a number in ``range(n)`` for the decision named ``label``; ``n`` >= 1."""
        ...


class SeededChoices:
    """Independent pseudo-random streams, one a label, all determined by one seed.

    Args:
        seed: any int.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._streams: dict[str, Callable[[], float]] = {}

    def pick(self, label: str, n: int) -> int:
        """Return the stream's next number in ``range(n)``."""
        stream = self._streams.get(label)
        if stream is None:
            # Seeding with text goes through SHA-512, so it depends on neither the hash seed nor the Python version.
            stream = self._streams[label] = random.Random(f"{self.seed}/{label}").random
        return int(stream() * n)


class RecordingChoices:
    """Passes every pick on and remembers it, so that the run can be replayed."""

    def __init__(self, inner: Choices) -> None:
        self._inner = inner
        self.picks: list[tuple[str, int, int]] = []

    def pick(self, label: str, n: int) -> int:
        """Return and remember ``inner``'s decision."""
        choice = self._inner.pick(label, n)
        self.picks.append((label, n, choice))
        return choice


class ReplayedChoices:
    """Repeats recorded picks.

    Raises:
        ReplayDiverged: when the run asks for another decision than the one recorded (the scenario or version differs).
    """

    def __init__(self, picks: Sequence[tuple[str, int, int]]) -> None:
        self._picks = iter(picks)
        self._done = 0

    def pick(self, label: str, n: int) -> int:
        """Return the next recorded decision."""
        recorded = next(self._picks, None)
        self._done += 1
        if recorded is None or recorded[:2] != (label, n):
            raise ReplayDiverged(self._done, (label, n), recorded)
        return recorded[2]


class ReplayDiverged(ValueError):
    """The replayed run asked for a decision that the recorded one did not take at that place."""

    def __init__(self, number: int, asked: tuple[str, int], recorded: tuple[str, int, int] | None) -> None:
        was = "the recording has ended" if recorded is None else f"the recording has {recorded[:2]}"
        super().__init__(
            f"decision {number}: the run asks for {asked}, but {was}; is it the same scenario and version?"
        )


class FirstChoice:
    """Always picks 0: the run without jitter, in the order in which things were posted."""

    def pick(self, label: str, n: int) -> int:
        """Return 0."""
        return 0
