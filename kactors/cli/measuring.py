"""Commands that measure: --precision, --replications, --confidence."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from kactors.cli.progress import RunBar, run_bar
from kactors.engine.errors import UsageError
from kactors.report.exits import FINDING
from protocols.scenario import Scenario

if TYPE_CHECKING:
    from kactors.sweep.precision import Precision
    from protocols.measurement import Estimate, Measurement

Command = TypeVar("Command", bound=Callable[..., Any])
SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,9})?) ?(%?)", re.ASCII)
CONFIDENCE = 0.95
REPLICATIONS_MAX = 1000


class Share(click.ParamType[float]):
    """A share between 0 and 1, as 2% or 0.02."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return it as a number."""
        match = SHARE.fullmatch(str(value).strip())
        share = Fraction(match[1]) / (100 if match[2] else 1) if match is not None else Fraction(0)
        if not 0 < share < 1:
            self.fail(f"{value!r}: write a share above 0 and below 100 %, like 2% or 0.02", param, ctx)
        return float(share)


@dataclass(frozen=True)
class Asked:
    """How well rates are to be known; nothing of it given: a plain run."""

    precision: float | None
    replications: int | None
    confidence: float | None

    @property
    def wanted(self) -> bool:
        """Something was asked for that takes a measurement.

        Raises:
            UsageError: only how sure to be of it was.
        """
        if self.precision is None and self.replications is None:
            if self.confidence is not None:
                raise UsageError("--confidence is of an interval: ask for one with --precision 2% or --replications 5")
            return False
        return True

    @property
    def endless(self) -> bool:
        """The run ends when its interval is narrow enough, and not at a time."""
        return self.precision is not None

    def rule(self) -> Precision:
        """Return when a run is to end."""
        from kactors.sweep.precision import Precision

        return Precision(relative=self.precision, confidence=self.confidence or CONFIDENCE)


def precision_options(command: Command) -> Command:
    """Add the options of a measurement to a command, which gets them as ``asked``."""

    @functools.wraps(command)
    def gathered(
        *words: Any, precision: float | None, replications: int | None, confidence: float | None, **given: Any
    ) -> int:
        code: int = command(*words, asked=Asked(precision, replications, confidence), **given)
        return code

    options = (
        click.option(
            "--precision",
            type=Share(),
            help="Run until the rate's interval is this narrow: 2% means +- 2 %. Bounds: --until, 20 million events.",
        ),
        click.option(
            "--replications",
            type=click.IntRange(2, REPLICATIONS_MAX),
            help="Run with so many seeds; intervals from their spread.",
        ),
        click.option("--confidence", type=Share(), help="Of the intervals; 95% by default."),
    )
    wrapped: Any = gathered
    for option in reversed(options):
        wrapped = option(wrapped)
    return cast(Command, wrapped)


def refuse(asked: Asked, **options: object) -> None:
    """Refuse what does not go with a measurement.

    Args:
        asked: what was asked for.
        options: by name, what was given; None or False: it was not.

    Raises:
        UsageError: naming the first one.
    """
    option = "--precision" if asked.precision is not None else "--replications"
    for name, value in options.items():
        if value:
            raise UsageError(f"--{name.replace('_', '-')} is for a plain run, and not for {option}: leave out either")


def run_measured(scenario: Scenario, asked: Asked, *, check: bool, as_json: bool) -> int:
    """Measure one scenario and print it; return the exit code."""
    from kactors.report.measured import measured_report
    from kactors.sweep.estimates import estimate
    from kactors.sweep.precision import measure

    if asked.replications is None:
        with run_bar(scenario, as_json=as_json) as bar:
            on_look = None if bar is None else functools.partial(_show, bar, asked)
            measured = measure(scenario, asked.rule(), properties=check, on_look=on_look)
        found, value = estimate([measured]), measured.to_json()
    else:
        (found,) = _estimates([scenario], asked, check=check, as_json=as_json)
        value = found.to_json()
    _echo(as_json, value, measured_report(found))
    return _code([found])


def compare_measured(scenarios: Sequence[Scenario], asked: Asked, *, check: bool, as_json: bool) -> int:
    """Measure several policies and print their table; return the exit code."""
    from kactors.report.measured import measured_comparison

    found = _estimates(scenarios, asked, check=check, as_json=as_json)
    _echo(as_json, [each.to_json() for each in found], measured_comparison(found))
    return _code(found)


def _estimates(scenarios: Sequence[Scenario], asked: Asked, *, check: bool, as_json: bool) -> list[Estimate]:
    """Measure each scenario with each seed; the first is the base of the gains."""
    from kactors.sweep import RunsBar
    from kactors.sweep.estimates import estimate
    from kactors.sweep.precision import measure_all, replicate

    seeds = asked.replications or 1
    todo = [each for scenario in scenarios for each in replicate(scenario, seeds)]
    with RunsBar(len(todo), as_json=as_json) as bar:
        done = measure_all(
            todo, asked.rule(), properties=check, on_done=lambda place, measured: bar.done(place, measured.result)
        )
    groups = [done[place : place + seeds] for place in range(0, len(done), seeds)]
    return [estimate(group, groups[0] if place else None) for place, group in enumerate(groups)]


def _show(bar: RunBar, asked: Asked, now_ns: int, events: int, relative: float) -> None:
    bar.show(now_ns, events, f", +- {100 * relative:.1f} % of +- {100 * (asked.precision or 0):g} %")


def _echo(as_json: bool, value: Any, text: str) -> None:
    if as_json:
        click.echo(json.dumps(value, indent=2))
    else:
        click.echo(text, nl=False)


def _code(found: Sequence[Estimate]) -> int:
    runs: list[Measurement] = [run for each in found for run in each.runs]
    return FINDING if any(run.result.stop.finding for run in runs) else 0
