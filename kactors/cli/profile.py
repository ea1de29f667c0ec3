"""`kactors profile`: the sheet of a machine, what differs between two, what its figures hang on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from kactors.cli.commands import main
from kactors.cli.studying import answer, study_options
from kactors.engine.errors import UsageError

if TYPE_CHECKING:
    from kactors.studies.effort import Effort


@main.command()
@click.argument("name", metavar="MACHINE")
@click.option("--diff", "other", metavar="MACHINE", help="Only what changes on the way from MACHINE to this one.")
@click.option(
    "--sensitivity",
    is_flag=True,
    help=(
        "Change each fitted value by 20 %, and show what that does to the figures that the machine is known for: half"
        " a minute to two on two CPUs."
    ),
)
@click.option("--assumed", is_flag=True, help="With --sensitivity: change the assumed values as well.")
@study_options(precision="3%", events_max=400_000)
def profile(name: str, *, other: str | None, sensitivity: bool, assumed: bool, effort: Effort, as_json: bool) -> int:
    """Show a MACHINE's topology and every parameter with its unit, range and where it comes from.

    MACHINE is a name that `kactors list` shows, generic:N, or a TOML file of one's own.
    """
    from kactors.report import profile_sheet as sheets

    if sensitivity and other is not None:
        raise UsageError("--diff and --sensitivity: give one of them")
    if assumed and not sensitivity:
        raise UsageError("--assumed is for --sensitivity")
    if sensitivity:
        _show_sensitivity(name, ("fitted", "assumed") if assumed else ("fitted",), effort, as_json=as_json)
    elif as_json:
        click.echo(
            json.dumps(sheets.difference_data(name, other) if other is not None else sheets.as_data(name), indent=2)
        )
    else:
        click.echo(sheets.difference(name, other) if other is not None else sheets.sheet(name), nl=False)
    return 0


def _show_sensitivity(name: str, origins: tuple[str, ...], effort: Effort, *, as_json: bool) -> None:
    from kactors.studies import sensitivity as study
    from kactors.studies.sensitivity_text import sensitivity_text

    total = study.runs(name, origins)
    answer(lambda effort: study.ask(name, effort, origins), effort, total, sensitivity_text, as_json=as_json)
