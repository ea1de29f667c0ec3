"""`kactors export`: a schedule or its scenario in another tool's language."""

from __future__ import annotations

import click

from kactors.checker.export.litmus import litmus
from kactors.checker.export.promela import promela
from kactors.checker.job import Job
from kactors.checker.schedules import check_moves, read_schedule
from kactors.cli.calling import Calling
from kactors.cli.check import need_this_process, subject_options
from kactors.cli.commands import main
from kactors.engine.errors import UsageError

NO_SCHEDULE = "-"


@main.command()
@click.argument("schedule")
@click.argument("scenario")
@subject_options
@click.option("--format", "form", type=click.Choice(["litmus", "promela"]), required=True, help="What to write.")
def export(schedule: str, form: str, asked: Job, calling: Calling, as_json: bool) -> int:
    """Write a SCHEDULE of SCENARIO that `kactors check` has printed for another tool, to standard output.

    litmus: the finding as a C litmus test for herd7, which asks the kernel's memory model whether it can happen there.
    promela: all of the scenario, for spin; SCHEDULE may be - then.
    """
    need_this_process(calling)
    if as_json:
        raise UsageError("--json: what another tool reads has its own form; leave it out")
    if schedule == NO_SCHEDULE:
        if form == "litmus":
            raise UsageError("a litmus test is of one finding: give the schedule that kactors check has printed")
        text = promela(asked.subject())
    else:
        moves = read_schedule(asked.scenario, schedule)
        subject = asked.subject()
        check_moves(subject.space, moves)
        # The model numbers what it meets: it has to meet it in its own order, whatever the schedule was.
        text = litmus(subject, moves) if form == "litmus" else promela(asked.subject())
    click.echo(text, nl=False)
    return 0
