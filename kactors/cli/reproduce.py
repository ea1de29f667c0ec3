"""`kactors reproduce`: published tables beside simulated ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kactors.cli.commands import main
from kactors.cli.studying import answer, study_options

if TYPE_CHECKING:
    from kactors.studies.effort import Effort


@main.command()
@click.argument("what", metavar="SERIES", type=click.Choice(["spf-v9"]))
@study_options(precision="2%", events_max=6_000_000)
def reproduce(what: str, effort: Effort, as_json: bool) -> int:
    """Measure what the review mail's two tables tell, and print both side by side with the error of each figure."""
    from kactors.studies import reproduction
    from kactors.studies.reproduction_text import reproduction_text

    del what
    runs = len(reproduction.scenarios(effort.seed))
    answer(reproduction.reproduce, effort, runs, reproduction_text, as_json=as_json)
    return 0
