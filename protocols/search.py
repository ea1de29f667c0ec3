"""What a search over interleavings tells: how much it covered, and what it found. Read back from JSON, too."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from protocols.base import Count
from protocols.scenario import Scenario
from protocols.stop import AnyStop

Registers = tuple[tuple[str, str], ...]
"""What the threads of a litmus test saw: (register, value), by register."""


class Told(BaseModel):
    """The base of what a search tells."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StoryStep(Told):
    """One delivery of a schedule.

    Attributes:
        sender: who said it.
        receiver: who took it.
        on: in whose column it stands: the CPU (or khugepaged) whose doing it is.
        says: the message, in short.
        effect: what became of it, where that is not plain: the answer, or what the receiver went on to do.
        does: the same in the kernel's words: the call, and what came of it.
        source: file and line of the code that said it, with the text of that line: the policy's own where it was one.
    """

    sender: str
    receiver: str
    on: str
    says: str
    effect: str = ""
    does: str = ""
    source: str = ""


class Found(Told):
    """A finding, with a schedule that leads to it.

    Attributes:
        stop: what was found.
        schedule: one line that replays it.
        story: its steps.
        critical: the first step (from 0) after which every continuation fails; None when that was not computed.
        shrunk_from: steps of the schedule before it was shrunk.
        scenario: what it is a schedule of: after shrinking maybe a smaller one than was searched.
    """

    stop: AnyStop
    schedule: str
    story: tuple[StoryStep, ...]
    critical: Count | None = None
    shrunk_from: Count
    scenario: Scenario


class Searched(Told):
    """What a search covered.

    Attributes:
        properties: what judged it besides the properties that kactors has.
        strategy: its name.
        seed: of the strategies that draw.
        complete: every interleaving was covered.
        schedules: run to an end.
        steps: deliveries made.
        depth: deliveries of the longest schedule.
        cut: schedules given up because they were too long.
        states: different states seen; where a search was made in pieces that know nothing of each other's, at least.
        traces: Mazurkiewicz traces, where they were counted.
        interleavings: schedules that a depth-first search without reduction would run, where that was counted.
        outcomes: what the threads saw, in all ways that occurred; with how many of the schedules that were run.
        taken: for each actor the messages that it took, with the number of its states in which it took them; at least,
            likewise.
        missed: for a randomised strategy with a bound, how likely it has missed a bug of its depth, at most.
        found: the finding, if there was one.
    """

    version: str
    scenario: Scenario
    properties: tuple[str, ...] = ()
    strategy: str
    seed: int
    complete: bool
    schedules: Count
    steps: Count
    depth: Count
    cut: Count
    states: Count
    traces: Count | None = None
    interleavings: Count | None = None
    outcomes: tuple[tuple[Registers, Count], ...] = ()
    taken: dict[str, dict[str, Count]] = {}
    missed: float | None = None
    found: Found | None = None


class Ablated(Told):
    """A policy without some of its checks, searched.

    Attributes:
        dropped: the checks that it goes without.
        complete: every interleaving of every scene was covered, or a finding made that needless.
        found: what breaks, in the first scene in which something does; None: nothing was found.
        states: different states seen, in all scenes together.
    """

    dropped: tuple[str, ...]
    complete: bool
    found: Found | None
    states: Count

    @property
    def safe(self) -> bool:
        """Nothing breaks, and nothing was left out."""
        return self.complete and self.found is None


class Ablation(Told):
    """A policy without each subset of its checks.

    Attributes:
        policy: its name.
        checks: those of which all subsets were dropped.
        scenes: workloads in which.
        rows: one for each subset, the smallest first.
        minimal: sets of checks that are enough: nothing breaks with them alone, and with no part of them.
        redundant: checks that no safe set needs: what is safe with one of them is safe without it.
        spare: checks that can be dropped alone, though not whatever else is dropped: another check covers them.
    """

    version: str
    policy: str
    checks: tuple[str, ...]
    scenes: tuple[str, ...]
    rows: tuple[Ablated, ...]
    minimal: tuple[tuple[str, ...], ...]
    redundant: tuple[str, ...]
    spare: tuple[str, ...]
