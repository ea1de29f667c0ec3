"""What `kactors ask` and `kactors reproduce` have in common: their options, their bar, how an answer is printed."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click
from pydantic import BaseModel

from kactors.cli.calling import Calling, connect_options
from kactors.cli.measuring import Share
from kactors.engine.errors import UsageError
from kactors.sweep import RunsBar

if TYPE_CHECKING:
    from kactors.studies.effort import Effort

Command = TypeVar("Command", bound=Callable[..., Any])
Answer = TypeVar("Answer", bound=BaseModel)


def study_options(precision: str, events_max: int) -> Callable[[Command], Command]:
    """Add the options of a study; the command gets them as ``effort`` and ``as_json``.

    Args:
        precision: the default: half-width of a rate's interval as a share of the rate.
        events_max: deliveries after which a run ends, precise or not.
    """

    def add(command: Command) -> Command:
        @functools.wraps(command)
        def gathered(
            *, seed: int, precision: float, processes: int | None, as_json: bool, calling: Calling, **given: Any
        ) -> Any:
            if calling.wanted:
                raise UsageError("--connect: a service has no method for this; leave it out, it runs in this process")
            # Here, since numpy takes its time: nobody waits for it who only asks for help.
            from kactors.studies.effort import Effort

            effort = Effort(seed=seed, relative=precision, events_max=events_max, workers=processes)
            return command(effort=effort, as_json=as_json, **given)

        options = (
            click.option("--precision", type=Share(), default=precision, show_default=True, help=PRECISION_HELP),
            click.option("--seed", type=int, default=1, show_default=True, help="Seed of every run."),
            click.option("-j", "--processes", type=click.IntRange(min=1), help="Processes, by default one a CPU."),
            click.option("--json", "as_json", is_flag=True, help="Print JSON (docs/json.md)."),
        )
        wrapped: Any = connect_options(gathered)
        for option in reversed(options):
            wrapped = option(wrapped)
        return cast(Command, wrapped)

    return add


PRECISION_HELP = "Half-width of a rate's interval, as a share of the rate."


def answer(
    work: Callable[[Effort], Answer], effort: Effort, runs: int, text: Callable[[Answer], str], *, as_json: bool
) -> Answer:
    """Do the work under a bar, print what it came to, and return it.

    Args:
        work: makes the answer.
        effort: what it may spend.
        runs: how many runs and searches that takes.
        text: writes the answer down.
        as_json: print it as JSON instead.
    """
    from dataclasses import replace

    with RunsBar(runs, as_json=as_json) as bar:
        told = work(replace(effort, on_done=bar.advance))
    click.echo(json.dumps(told.model_dump(mode="json"), indent=2) if as_json else text(told), nl=as_json)
    return told
