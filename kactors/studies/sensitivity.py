"""What a machine's figures hang on: each fitted value a fifth lower and higher, and what becomes of each figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from annotated_types import Ge, Le

from kactors.engine.errors import UsageError
from kactors.machines import profile
from kactors.machines.entry import Entry
from kactors.studies.effort import Effort
from kactors.studies.readings import Runs, carry_out, change, read
from kactors.studies.targets import Target, Unit, lacking, targets_of
from protocols.machine import Machine
from protocols.measurement import Interval
from protocols.result import Record

PERCENT: Final = 20
"""By so much each value is changed."""


class Figure(Record):
    """A figure as the profile is.

    Attributes:
        name: what it is.
        how: how long the runs are; empty: to the precision asked for.
        unit: of both values: ``a second``, ``times`` (a gain), ``share`` (0 to 1), ``ns``.
        published: what was published or measured.
        simulated: ours.
        met: whether the interval is as narrow as was asked for, or the runs as long as they ought to be.
        source: of the published one.
    """

    name: str
    how: str
    unit: Unit
    published: float
    simulated: Interval
    met: bool
    source: str

    @property
    def error(self) -> float:
        """How far ours is off, as a share of the published value."""
        return self.simulated.mean / self.published - 1


class Change(Record):
    """What one value does to one figure.

    Attributes:
        parameter, origin: whose value is changed, and where that comes from.
        value: what it is.
        changed: what it is changed to.
        figure: name of the figure.
        simulated: its value then.
        ratio: that by the figure as the profile is.
        error: how far the simulated figure is off the published one then, as a share.
        met: as of the figure.
    """

    parameter: str
    origin: str
    value: int
    changed: int
    figure: str
    simulated: Interval
    ratio: Interval
    error: float
    met: bool


class Fit(Record):
    """A fitted value.

    Attributes:
        parameter: its name.
        to: to what it was fitted, in the words of the profile.
    """

    parameter: str
    to: str


class Sensitivity(Record):
    """The answer.

    Attributes:
        machine: whose profile.
        seed: of every run, or of the first of several.
        figures: as it is.
        changes: with one value changed, by parameter, then value, then figure.
        fits: the fitted values.
        lacking: recordings whose figures are left out, as they are not there.
    """

    machine: str
    seed: int
    figures: tuple[Figure, ...]
    changes: tuple[Change, ...]
    fits: tuple[Fit, ...]
    lacking: tuple[str, ...]


Variant = tuple[str, int]
"""(parameter, its changed value)."""


def variants(machine: str, origins: Sequence[str]) -> list[Variant]:
    """Return each value of these origins a fifth lower and higher, and no further than the parameter can go.

    The range that its source gives is no limit: what lies beyond it matters as well.
    """
    found = []
    for key, entry in profile(machine).items():
        if entry.origin in origins and type(entry.value) is int:
            nearby = [_within(key, round(entry.value * (100 + change) / 100)) for change in (-PERCENT, PERCENT)]
            found += [(key, value) for value in nearby if value != entry.value]
    return found


def runs(machine: str, origins: Sequence[str]) -> int:
    """Return how many runs the answer takes."""
    loads = dict.fromkeys(load for target in targets_of(machine) for load in target.loads)
    return sum(load.seeds for load in loads) * (1 + len(variants(machine, origins)))


def ask(machine: str, effort: Effort, origins: Sequence[str] = ("fitted",)) -> Sensitivity:
    """Measure every figure as the profile is, and with each value changed.

    Args:
        machine: a built-in name.
        effort: what it may spend.
        origins: which values are changed: ``fitted``, ``assumed``, ``source``.

    Raises:
        UsageError: no such machine, or nothing is known of it to hold it against.
    """
    entries, targets, changed = profile(machine), targets_of(machine), variants(machine, origins)
    if not targets:
        raise UsageError(f"machine {machine}: no figure is known of it, so there is nothing that its values change")
    cases: list[tuple[Variant, ...]] = [(), *((variant,) for variant in changed)]
    done = carry_out(((load, case) for case in cases for target in targets for load in target.loads), effort)

    def of(target: Target, *case: Variant) -> list[Runs]:
        return [done[load, case] for load in target.loads]

    return Sensitivity(
        machine=machine,
        seed=effort.seed,
        figures=tuple(_figure(target, of(target)) for target in targets),
        changes=tuple(
            _change(variant, entries[variant[0]], target, of(target, variant), of(target))
            for variant in changed
            for target in targets
        ),
        fits=tuple(Fit(parameter=key, to=entry.why) for key, entry in entries.items() if entry.origin == "fitted"),
        lacking=tuple(lacking(machine)),
    )


def _within(key: str, value: int) -> int:
    """Return the nearest value that the parameter can have."""
    for limit in Machine.model_fields[key].metadata:
        if isinstance(limit, Ge):
            value = max(value, int(str(limit.ge)))
        elif isinstance(limit, Le):
            value = min(value, int(str(limit.le)))
    return value


def _figure(target: Target, runs: Sequence[Runs]) -> Figure:
    return Figure(
        name=target.name,
        how=target.of.how,
        unit=target.unit,
        published=target.published,
        simulated=read(target, runs),
        met=all(each.met for each in runs),
        source=target.source,
    )


def _change(variant: Variant, entry: Entry, target: Target, runs: Sequence[Runs], bases: Sequence[Runs]) -> Change:
    simulated = read(target, runs)
    return Change(
        parameter=variant[0],
        origin=entry.origin,
        value=int(entry.value),
        changed=variant[1],
        figure=target.name,
        simulated=simulated,
        ratio=change(target, runs, bases),
        error=simulated.mean / target.published - 1,
        met=all(each.met for each in runs),
    )
