"""What the match with published and measured figures hangs on: each mechanism of the model switched off in turn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kactors.studies.effort import Effort
from kactors.studies.published import EBIZZY_ZEN4, MAIL, PAGE_FAULT1_ZEN4, Measured
from kactors.studies.switches import MECHANISMS, Switch
from kactors.sweep.estimates import gain
from protocols.measurement import Interval, Measurement
from protocols.result import Record
from protocols.scenario import Scenario

NOTHING: Final = Switch("(nothing)", "the model as it is")
BASE, SPF, RECORDED = "classic", "spf-v9", "per-vma-6.15"
TINY: Final = 1e-9
"""Stands for nothing at all, which has no logarithm."""
MAIL_WITHIN, EBIZZY_WITHIN, FAULTS_WITHIN = 0.15, 0.25, 0.15
"""How far off a figure may be, as a share: the mail's tables, ebizzy and page_fault1 on the recorded machine."""


class Verdict(StrEnum):
    """What an interval says of a figure that may be so far off."""

    NEAR = "near enough"
    OFF = "too far off"
    OPEN = "cannot tell"


@dataclass(frozen=True)
class Target:
    """A published or measured rate, and the scenario that is to come out there.

    Attributes:
        name: of the figure.
        published: its value.
        within: how far off ours may be, as a share.
        scenario: what is measured.
        over: name of the target whose rate this one's is divided by: it is a gain; empty: it is a rate.
    """

    name: str
    published: float
    within: float
    scenario: Scenario
    over: str = ""


class Match(Record):
    """One figure with one mechanism switched off.

    Attributes:
        target: the figure's name.
        off: the mechanism's name.
        published: what was published or measured.
        simulated: ours.
        within: how far off it may be, as a share.
    """

    target: str
    off: str
    published: float
    simulated: Interval
    within: float

    @property
    def error(self) -> float:
        """How far ours is off, as a share."""
        return self.simulated.mean / self.published - 1

    @property
    def verdict(self) -> Verdict:
        """Whether ours is near enough: what all of its interval says."""
        nearest, farthest = self.published * (1 - self.within), self.published * (1 + self.within)
        if nearest <= self.simulated.low and self.simulated.high <= farthest:
            return Verdict.NEAR
        if self.simulated.low <= farthest and nearest <= self.simulated.high:
            return Verdict.OPEN
        return Verdict.OFF


class Fidelity(Record):
    """The answer: each figure with nothing, and with each mechanism in turn, switched off."""

    seed: int
    precision: float
    matches: tuple[Match, ...]

    def without(self, off: str) -> list[Match]:
        """Return the figures with one mechanism off."""
        return [match for match in self.matches if match.off == off]

    def typical_error(self, off: str) -> float:
        """Return by which factor the figures are off, as their geometric mean: 1 is exact."""
        logs = [abs(math.log(max(match.simulated.mean, TINY) / match.published)) for match in self.without(off)]
        return math.exp(sum(logs) / len(logs))


def targets(seed: int) -> list[Target]:
    """Return the mail's rates and gains, and what was measured on the recorded machine."""
    found: list[Target] = []
    for mail in reversed(MAIL):
        machine = mail.machine
        base, spf = (Scenario(workload="ebizzy", machine=machine, policy=policy, seed=seed) for policy in (BASE, SPF))
        found += [
            Target(f"{machine} BASE", mail.base_per_s, MAIL_WITHIN, base),
            Target(f"{machine} SPF", mail.spf_per_s, MAIL_WITHIN, spf),
            Target(f"{machine} gain", mail.gain, MAIL_WITHIN, spf, over=f"{machine} BASE"),
        ]
    found += _recorded(EBIZZY_ZEN4, "ebizzy", EBIZZY_WITHIN, seed)
    return found + _recorded(PAGE_FAULT1_ZEN4, "page_fault1", FAULTS_WITHIN, seed)


def _recorded(measured: Measured, workload: str, within: float, seed: int) -> list[Target]:
    return [
        Target(
            f"{measured.machine} {workload}, t={threads}",
            measured.mean(threads),
            within,
            Scenario(workload=workload, options={"t": threads}, machine=measured.machine, policy=RECORDED, seed=seed),
        )
        for threads in measured.rates
    ]


def match_all(
    effort: Effort, asked: Sequence[Target] | None = None, switches: Sequence[Switch] = MECHANISMS
) -> Fidelity:
    """Measure every figure with nothing and with each mechanism switched off.

    Args:
        effort: how exactly.
        asked: the figures; by default all.
        switches: the mechanisms.
    """
    figures = targets(effort.seed) if asked is None else asked
    rates = [target for target in figures if not target.over]
    every = (NOTHING, *switches)
    places = [(switch, target) for target in rates for switch in every]
    measured = effort.measure([switch.turn_off(target.scenario) for switch, target in places])
    found = {(switch.name, target.name): run for (switch, target), run in zip(places, measured, strict=True)}
    matches = [_match(switch, target, found, figures) for switch in every for target in figures]
    return Fidelity(seed=effort.seed, precision=effort.relative, matches=tuple(matches))


def runs(seed: int) -> int:
    """Return how many runs that takes."""
    return sum(not target.over for target in targets(seed)) * (1 + len(MECHANISMS))


def _match(
    switch: Switch, target: Target, found: dict[tuple[str, str], Measurement], figures: Sequence[Target]
) -> Match:
    if target.over:
        same = next(each for each in figures if each.scenario == target.scenario and not each.over)
        simulated = gain([found[switch.name, same.name]], [found[switch.name, target.over]])
    else:
        simulated = found[switch.name, target.name].rate
    return Match(
        target=target.name,
        off=switch.name,
        published=target.published,
        simulated=simulated,
        within=target.within,
    )
