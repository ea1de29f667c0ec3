"""`kactors ask`: the review mail's questions, each answered in a few sentences, figures and a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kactors.cli.commands import main
from kactors.cli.program import Words
from kactors.cli.studying import answer, study_options
from kactors.engine.errors import UsageError

if TYPE_CHECKING:
    from kactors.studies.effort import Effort


class Questions(Words):
    """The commands are questions."""

    what = "question"


@main.group(cls=Questions, invoke_without_command=True, subcommand_metavar="QUESTION [OPTIONS]")
@click.pass_context
def ask(ctx: click.Context) -> None:
    """Answer one of the review mail's questions: a short text, its figures, a picture."""
    if ctx.invoked_subcommand is None:
        raise UsageError(f"name a question: kactors ask {' or '.join(ask.list_commands(ctx))}")


@ask.command()
@study_options(precision="5%", events_max=400_000)
def overallocation(effort: Effort, as_json: bool) -> int:
    """How many pages can concurrent faults allocate too many, and what would a bound cost?"""
    from kactors.studies import overallocation as study
    from kactors.studies.overallocation_text import overallocation_text

    answer(study.ask, effort, study.Sizes().runs(), overallocation_text, as_json=as_json)
    return 0


@ask.command()
@study_options(precision="5%", events_max=400_000)
def thp(effort: Effort, as_json: bool) -> int:
    """Could a PMD under collapse be something other than none, and would that help?"""
    from kactors.studies import thp as study
    from kactors.studies.thp_text import thp_text

    answer(study.ask, effort, study.runs(), thp_text, as_json=as_json)
    return 0


@ask.command()
@study_options(precision="5%", events_max=300_000)
def scaling(effort: Effort, as_json: bool) -> int:
    """Why does SPF gain less on 80 CPUs than on 16?"""
    from kactors.studies import suspects as study
    from kactors.studies.suspects_text import scaling_text

    answer(study.ask, effort, len(study.Grid().scenarios(effort.seed)), scaling_text, as_json=as_json)
    return 0
