"""What a machine's figures hang on: each fitted value a fifth lower and higher, and what becomes of each figure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from annotated_types import Ge, Le

from kactors.engine.errors import UsageError
from kactors.machines import profile
from kactors.studies.effort import Effort
from kactors.studies.targets import Target, targets_of
from kactors.sweep.estimates import gain
from protocols.machine import Machine
from protocols.measurement import Interval, Measurement
from protocols.result import Record
from protocols.scenario import Scenario

PERCENT: Final = 20
"""By so much each value is changed."""


class Figure(Record):
    """A figure as the profile is.

    Attributes:
        name: what it is.
        published: a second.
        simulated: a second.
        met: whether the interval is as narrow as was asked for.
        source: of the published one.
    """

    name: str
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
        simulated: a second, with the changed value.
        ratio: that by the figure as the profile is.
        error: how far the simulated figure is off the published one then, as a share.
        met: whether the interval is as narrow as was asked for.
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


class Sensitivity(Record):
    """The answer.

    Attributes:
        machine: whose profile.
        seed: of every run.
        figures: as it is.
        changes: with one value changed, by parameter, then value, then figure.
    """

    machine: str
    seed: int
    figures: tuple[Figure, ...]
    changes: tuple[Change, ...]


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
    return len(targets_of(machine)) * (1 + len(variants(machine, origins)))


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
    measured = effort.measure(list(_scenarios(targets, changed, effort.seed)))
    bases, rest = measured[: len(targets)], iter(measured[len(targets) :])
    return Sensitivity(
        machine=machine,
        seed=effort.seed,
        figures=tuple(_figure(target, run) for target, run in zip(targets, bases, strict=True)),
        changes=tuple(
            _change(variant, entries[variant[0]].origin, entries[variant[0]].value, target, next(rest), base)
            for variant in changed
            for target, base in zip(targets, bases, strict=True)
        ),
    )


def _scenarios(targets: Sequence[Target], changed: Sequence[Variant], seed: int) -> Iterator[Scenario]:
    yield from (target.scenario(seed) for target in targets)
    for key, value in changed:
        yield from (target.scenario(seed, {key: value}) for target in targets)


def _within(key: str, value: int) -> int:
    """Return the nearest value that the parameter can have."""
    for limit in Machine.model_fields[key].metadata:
        if isinstance(limit, Ge):
            value = max(value, int(str(limit.ge)))
        elif isinstance(limit, Le):
            value = min(value, int(str(limit.le)))
    return value


def _figure(target: Target, run: Measurement) -> Figure:
    return Figure(name=target.name, published=target.per_s, simulated=run.rate, met=run.met, source=target.source)


def _change(
    variant: Variant, origin: str, value: int | str, target: Target, run: Measurement, base: Measurement
) -> Change:
    return Change(
        parameter=variant[0],
        origin=origin,
        value=int(value),
        changed=variant[1],
        figure=target.name,
        simulated=run.rate,
        ratio=gain([run], [base]),
        error=run.rate.mean / target.per_s - 1,
        met=run.met,
    )
