"""`kactors check`: search a scenario's interleavings; `kactors replay-schedule`: run one of them again."""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar, cast

import click

from kactors.checker.covered import Covered
from kactors.checker.job import Job, Watch, told
from kactors.checker.schedules import check_moves, read_schedule
from kactors.checker.search import STRATEGIES, tell_schedule
from kactors.checker.slices import finish
from kactors.checker.strategies.strategy import STEPS_MAX
from kactors.cli.calling import Calling, connect_options
from kactors.cli.commands import main
from kactors.cli.durations import Seconds
from kactors.cli.progress import SearchBar
from kactors.cli.remote import refuse_local_options
from kactors.cli.remote_check import check_remote
from kactors.cli.request import Overrides, build_scenario, untimed_options
from kactors.cli.searching import search
from kactors.engine.errors import UsageError
from kactors.report.exits import FINDING, INTERRUPTED, complain
from kactors.report.search_report import replay_report, search_report
from protocols.scenario import Scenario
from protocols.search import Found, Searched

Command = TypeVar("Command", bound=Callable[..., Any])

MACHINE = "small"
AT_LEAST_ONE = click.IntRange(min=1)


def subject_options(command: Command) -> Command:
    """Add the options that say what is searched; the command gets it as ``asked``, a job without limits.

    Where it is to be searched comes as ``calling``.
    """

    @functools.wraps(command)
    def gathered(*words: Any, scenario: str, properties: tuple[str, ...], calling: Calling, **given: Any) -> Any:
        overrides = {name: given.pop(name) for name in ("machine", "cpus", "threads", "policy", "seed", "settings")}
        asked = _scenario(scenario, overrides)
        return command(*words, asked=Job(asked, properties, seed=asked.seed), calling=calling, **given)

    options = (
        click.option("--policy", help="A fault policy, or FILE.py:CLASS for your own."),
        click.option(
            "--property",
            "properties",
            multiple=True,
            metavar="FILE.py:CLASS",
            help="Judge by a property of your own as well. Repeatable.",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print JSON (docs/json.md)."),
    )
    wrapped: Any = connect_options(untimed_options(gathered))
    for option in reversed(options):
        wrapped = option(wrapped)
    return cast(Command, wrapped)


def search_options(command: Command) -> Command:
    """Add the options that say how to search and for how long; the command gets them with the subject as ``job``."""

    @functools.wraps(command)
    def gathered(*words: Any, asked: Job, seconds: float | None, **given: Any) -> Any:
        limits = {name: given.pop(name) for name in ("strategy", "steps_max", "schedules_max", "keep_going")}
        until_s = None if seconds is None else time.monotonic() + seconds
        return command(*words, job=replace(asked, until_s=until_s, **limits), seconds=seconds, **given)

    options = (
        click.option(
            "--strategy",
            type=click.Choice(list(STRATEGIES)),
            default="portfolio",
            show_default=True,
            help="exhaustive: all, states remembered; dpor: one schedule a trace; plain: without reduction. Drawn: "
            "random; pct, fair-pct: by priorities; pos: orders of dependent events alike; delay: round robin with "
            "delays. portfolio: drawn ones and exhaustive in turns.",
        ),
        click.option(
            "--max-steps",
            "steps_max",
            type=AT_LEAST_ONE,
            default=STEPS_MAX,
            show_default=True,
            help="Deliveries of one schedule; a longer one is given up.",
        ),
        click.option("--max-schedules", "schedules_max", type=AT_LEAST_ONE, help="Schedules to run."),
        click.option("--time", "seconds", type=Seconds(), help="Seconds to search."),
        click.option("--keep-going", is_flag=True, help="Go on after a finding, for all outcomes."),
    )
    wrapped: Any = gathered
    for option in reversed(options):
        wrapped = option(wrapped)
    return cast(Command, wrapped)


@main.command()
@click.argument("scenario")
@subject_options
@search_options
@click.option(
    "-j", "--processes", type=AT_LEAST_ONE, help="Processes, by default one a CPU; they do not change the result."
)
@click.option("--no-shrink", is_flag=True, help="Tell the finding as it was found.")
def check(
    job: Job, seconds: float | None, calling: Calling, processes: int | None, no_shrink: bool, as_json: bool
) -> int:
    """Search the interleavings of SCENARIO, a workload or a scenario's FILE.toml, for one that breaks something.

    Nothing takes time in a search: any message under way may be the next that is taken. Without limits it ends when
    all interleavings are covered; schedules that are drawn (random, pct, fair-pct, pos, delay) go on until Ctrl-C,
    which prints what was covered.
    """
    with _on_interrupt() as interrupted, SearchBar(job.strategy) as bar:
        watch = Watch(interrupted, bar.show)
        if calling.wanted:
            refuse_local_options(processes=processes)
            came: Searched | Covered = check_remote(calling, job, seconds, watch, shrunk=not no_shrink)
        else:
            came = search(job, processes or os.cpu_count() or 1, watch)
    searched = came if isinstance(came, Searched) else finish(told(job, came, shrunk=not no_shrink))
    click.echo(_json(searched) if as_json else search_report(searched), nl=as_json)
    if searched.found is None and interrupted():
        return complain("interrupted", INTERRUPTED)
    return FINDING if searched.found is not None else 0


@main.command("replay-schedule")
@click.argument("schedule")
@click.argument("scenario")
@subject_options
def replay_schedule(schedule: str, asked: Job, calling: Calling, as_json: bool) -> int:
    """Run a SCHEDULE of SCENARIO that `kactors check` has printed, and tell its story."""
    need_this_process(calling)
    moves = read_schedule(asked.scenario, schedule)
    subject = asked.subject()
    check_moves(subject.space, moves)
    found = tell_schedule(subject, moves)
    click.echo(_json(found) if as_json else replay_report(found, asked.properties), nl=as_json)
    return FINDING if found.stop.finding else 0


def need_this_process(calling: Calling) -> None:
    """Refuse --connect where a service has no method for what is asked.

    Raises:
        UsageError: it is given.
    """
    if calling.wanted:
        raise UsageError("--connect: a service searches, but it has no method for this; leave it out")


def _scenario(word: str, overrides: dict[str, Any]) -> Scenario:
    if word.endswith(".toml"):
        return build_scenario(Overrides(**overrides, scenario=Path(word)), machine=MACHINE)
    return build_scenario(Overrides(**overrides), workload=word, machine=MACHINE)


def _json(report: Searched | Found) -> str:
    return json.dumps(report.model_dump(mode="json"), indent=2)


@contextmanager
def _on_interrupt() -> Iterator[Callable[[], bool]]:
    """Yield what tells whether Ctrl-C was pressed: the first time it only ends the search, the second time all."""
    pressed: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        pressed.append(number)
        signal.signal(signal.SIGINT, before)
        if sys.stderr.isatty():  # and who presses it sits there
            click.echo("\nending the search; Ctrl-C again ends it at once", err=True)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)
