"""The commands. Each parses, calls and prints."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import click

from kactors.cli.calling import Calling, connect_options
from kactors.cli.measuring import Asked, compare_measured, precision_options, refuse, run_measured
from kactors.cli.program import Program
from kactors.cli.progress import meter
from kactors.cli.request import (
    Overrides,
    build_scenario,
    check_scenario,
    policy_names,
    scenario_options,
    workload_or_file,
)
from kactors.cli.traces import open_trace
from kactors.engine.errors import UsageError
from kactors.report.exits import FINDING
from kactors.run import Machine
from protocols.result import Result
from protocols.scenario import Scenario
from protocols.stop import Violation

Command = TypeVar("Command", bound=Callable[..., Any])
Runtime = Literal["inline", "trio"]


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--traceback", is_flag=True, hidden=True, help="Show where an internal error came from.")
@click.version_option(package_name="kactors")
def main(traceback: bool) -> None:
    """Simulate Linux page-fault concurrency with message-passing actors in virtual time.

    Exit codes: 0 fine; 1 a finding (deadlock, violation, bound); 2 wrong usage, or a file that cannot be read or
    written; 3 an internal error.
    """
    del traceback


@dataclass(frozen=True)
class How:
    """How and where a single run is made."""

    runtime: Runtime
    trace: Path | None
    check: bool
    keep: bool
    calling: Calling


def run_options(command: Command) -> Command:
    """Add the options of a single run, which gets some of them as ``how``."""

    @functools.wraps(command)
    def gathered(
        *words: Any, runtime: Runtime, trace: Path | None, check: bool, keep: bool, calling: Calling, **given: Any
    ) -> int:
        code: int = command(*words, how=How(runtime, trace, check, keep, calling), **given)
        return code

    options = (
        click.option("--policy", help="A fault policy, or FILE.py:CLASS for your own."),
        click.option("--runtime", type=click.Choice(["inline", "trio"]), default="inline", show_default=True),
        click.option(
            "--trace",
            type=click.Path(path_type=Path, readable=False),
            help="Write FILE.txt (lines) or FILE.json (Chrome).",
        ),
    )
    wrapped: Any = output_options(gathered)
    for option in reversed(options):
        wrapped = option(wrapped)
    return cast(Command, wrapped)


def output_options(command: Command) -> Command:
    """Add the options of everything that runs."""
    check = click.option("--check/--no-check", default=True, help="Stop when a property is violated (default).")
    as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON (docs/json.md).")
    keep = click.option("--keep", is_flag=True, help="For --connect: leave the session in the service.")
    return check(as_json(connect_options(keep(command))))


@main.command()
@click.argument("workload", required=False)
@scenario_options
@run_options
@precision_options
def run(workload: str | None, as_json: bool, how: How, asked: Asked, **given: Any) -> int:
    """Run a WORKLOAD; `kactors list` names them. One that never ends runs for 20ms unless --until says otherwise."""
    scenario = build_scenario(Overrides(**given), workload=workload, endless=asked.endless)
    if asked.wanted:
        refuse(asked, connect=how.calling.wanted, keep=how.keep, trace=how.trace, runtime=how.runtime != "inline")
        return run_measured(scenario, asked, check=how.check, as_json=as_json)
    return _show(_run(scenario, how), as_json)


@main.command()
@click.argument("file")
@scenario_options
@run_options
def replay(file: str, as_json: bool, how: How, **given: Any) -> int:
    """Replay a recording: FILE is the text of `perf script`, plain, .gz or .xz. Runs to its end by default."""
    scenario = build_scenario(Overrides(**given), recording=file)
    return _show(_run(scenario, how), as_json)


@main.command()
@click.argument("target", metavar="WORKLOAD|FILE")
@click.option(
    "--policies", default="classic,spf-v9,per-vma-6.15", show_default=True, help="With commas; the first is the base."
)
@scenario_options
@output_options
@precision_options
def compare(
    target: str, policies: str, *, check: bool, as_json: bool, keep: bool, calling: Calling, asked: Asked, **given: Any
) -> int:
    """Run one scenario under several policies, with the same seeds, in parallel processes."""
    from kactors.report import comparison

    names, word = policy_names(policies), workload_or_file(target)
    scenarios = [build_scenario(Overrides(**given, policy=name), **word, endless=asked.endless) for name in names]
    if asked.wanted:
        refuse(asked, connect=calling.wanted, keep=keep)
        for scenario in scenarios:
            check_scenario(scenario)
        return compare_measured(scenarios, asked, check=check, as_json=as_json)
    results = _compare(scenarios, check, keep, calling)
    if as_json:
        click.echo(_json([result.to_json() for result in results]))
    else:
        click.echo(comparison(results), nl=False)
    return FINDING if any(result.stop.finding for result in results) else 0


@main.command()
@connect_options
def messages(calling: Calling) -> None:
    """Show every message that the actors exchange."""
    from kactors.report.vocabulary import vocabulary

    _check_build(calling, "messages")
    click.echo(vocabulary(_terminal_width()), nl=False)


@main.command("list")
@connect_options
def list_(calling: Calling) -> None:
    """List the policies, the workloads with their options, and the machines."""
    from kactors.report.catalogue import catalogue

    _check_build(calling, "policies, workloads and machines")
    click.echo(catalogue(), nl=False)


@main.command()
@click.argument(
    "name", metavar="NAME", type=click.Choice(["estimate", "measurement", "result", "scaling", "scenario", "search"])
)
@connect_options
def schema(name: str, calling: Calling) -> None:
    """Print the JSON schema of what --json prints, or of a scenario file (scenario).

    A plain run prints a result, one with --precision a measurement, --replications and `compare --precision` print
    estimates, `scale` scalings, `check` a search.
    """
    from kactors.report.schema import SCHEMAS

    _check_build(calling, "schemas")
    click.echo(_json(SCHEMAS[name]()))


def _run(scenario: Scenario, how: How) -> Result:
    if how.calling.wanted:
        from kactors.cli.remote import refuse_local_options, run_remote

        refuse_local_options(trace=how.trace, runtime=how.runtime != "inline", no_check=not how.check)
        return run_remote(how.calling, scenario, keep=how.keep)
    _need_connect(how.keep)
    with open_trace(how.trace, scenario) as observers, meter(scenario) as shown:
        limits = shown.limits if shown is not None else None
        machine = Machine(scenario, limits=limits, observers=observers, properties=how.check)
        if shown is not None:
            shown.watch(machine.system.engine)
        try:
            return _with_story(machine.run(how.runtime), machine)
        finally:
            # After a crash or Ctrl-C, Python would complain of every thread that had not begun.
            machine.system.close()


def _compare(scenarios: Sequence[Scenario], check: bool, keep: bool, calling: Calling) -> list[Result]:
    if calling.wanted:
        from kactors.cli.remote import compare_remote, refuse_local_options

        refuse_local_options(no_check=not check)
        return compare_remote(calling, scenarios, keep=keep)
    from kactors.sweep import RunsBar, run_all

    _need_connect(keep)
    for scenario in scenarios:
        # Here and at once, and not in a worker process after others have run.
        check_scenario(scenario)
    with RunsBar(len(scenarios)) as bar:
        return run_all(scenarios, properties=check, on_done=bar.done)


def _need_connect(keep: bool) -> None:
    if keep:
        raise UsageError("--keep is for a session of a service: add --connect ADDRESS")


def _check_build(calling: Calling, what: str) -> None:
    if calling.wanted:
        from kactors.cli.remote import need_same_build

        need_same_build(calling, what)


def _with_story(result: Result, machine: Machine) -> Result:
    """A property hears tracepoints only: the engine alone can tell what was delivered before it broke."""
    stop = result.stop
    if not isinstance(stop, Violation) or stop.story:
        return result
    return result.model_copy(update={"stop": stop.model_copy(update={"story": machine.system.engine.story()})})


def _show(result: Result, as_json: bool) -> int:
    from kactors.report import report

    if as_json:
        click.echo(_json(result.to_json()))
    else:
        click.echo(report(result), nl=False)
    return FINDING if result.stop.finding else 0


def _json(value: Any) -> str:
    return json.dumps(value, indent=2)


def _terminal_width() -> int | None:
    """Return the terminal's columns, or None in a pipe."""
    import shutil
    import sys

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
