"""From the words of a command line to a scenario."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from kactors.cli.draft import Draft, instead
from kactors.cli.durations import Duration
from kactors.engine.errors import UsageError
from kactors.machines import machine_names
from kactors.policies import ALIASES, BROKEN, POLICIES
from kactors.policies.ablation import WITHOUT
from kactors.run import Machine
from kactors.workloads import WORKLOADS
from kactors.workloads.recording import Replay
from protocols.scenario import Scenario

DEFAULT_UNTIL_NS = 20_000_000
"""How long a workload that never ends by itself runs, unless somebody says so."""

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """The options that every command with a scenario has; None: not given."""

    scenario: Path | None = None
    machine: str | None = None
    cpus: int | None = None
    threads: int | None = None
    policy: str | None = None
    seed: int | None = None
    until: int | None = None
    settings: Sequence[str] = ()


def scenario_options(command: Command) -> Command:
    """Add the options of ``Overrides`` but ``policy`` to a command."""
    scenario = click.option("--scenario", type=click.Path(path_type=Path), help="A TOML file; options override it.")
    until = click.option("--until", type=Duration(), help="Virtual time at which to stop: 20ms, 1.5s, 500us, or ns.")
    return scenario(untimed_options(until(command)))


def untimed_options(command: Command) -> Command:
    """Add those of them that say what runs on what."""
    options = (
        click.option("--machine", help="A machine profile, or FILE.toml."),
        click.option("--cpus", type=int, help="CPUs of the machine."),
        click.option("--threads", type=int, help="Worker threads."),
        click.option("--seed", type=int, help="Seed of everything that the model leaves open."),
        click.option(
            "--set",
            "settings",
            multiple=True,
            metavar="KEY=VALUE",
            help="An option of the workload; or policy.KEY, bounds.KEY, khugepaged.KEY, machine.KEY. Repeatable.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def build_scenario(
    given: Overrides,
    *,
    workload: str | None = None,
    recording: str | None = None,
    machine: str | None = None,
    endless: bool = False,
) -> Scenario:
    """Return the scenario: the file's values, overridden by the options.

    Args:
        given: the options.
        machine: the one to take where none is named.
        workload: name of the workload, if one was named.
        recording: file of the recording, if one was named: the workload replays it.
        endless: a workload that never ends by itself need not have an end: the caller knows when to stop.

    Raises:
        UsageError: naming the option, file or key, and what would be right.
    """
    draft = Draft()
    if machine is not None:
        draft.put(("machine",), machine, f"machine {machine}")
    if given.scenario is not None:
        draft.put_file(given.scenario)
    elif workload is None and recording is None:
        raise UsageError(f"name a workload ({', '.join(WORKLOADS)}), or a --scenario that names one")
    if recording is not None:
        workload = Replay.name
        draft.put(("options", "file"), recording, recording)
    if workload is not None:
        draft.put(("workload",), workload, f"WORKLOAD {workload}")
    for key in ("machine", "cpus", "threads", "policy", "seed"):
        value = getattr(given, key)
        if value is not None:
            draft.put((key,), value, f"--{key} {value}")
    if given.until is not None:
        draft.put(("until_ns",), given.until, f"--until {given.until}")
    for setting in given.settings:
        draft.put_setting(setting)
    scenario = draft.scenario()
    _check_names(scenario, draft)
    return scenario if endless else _with_an_end(scenario)


def check_scenario(scenario: Scenario) -> int:
    """Build the machine for nothing but its complaints; return the number of its CPUs.

    Raises:
        UsageError: the scenario names something that does not exist.
    """
    system = Machine(scenario).system
    system.close()
    return len(system.cpus)


def workload_or_file(target: str) -> dict[str, str]:
    """Return which of the two the word means, as an argument of ``build_scenario``.

    Raises:
        UsageError: there is neither a workload nor a file of that name.
    """
    if target in WORKLOADS:
        return {"workload": target}
    if Path(target).exists():
        return {"recording": target}
    raise UsageError(f"{target}: there is no workload and no file of that name{instead(target, WORKLOADS)}")


def policy_names(text: str) -> list[str]:
    """Return the names in a list with commas.

    Raises:
        UsageError: one is empty, unknown, or there twice.
    """
    names = [name.strip() for name in text.split(",")]
    for place, name in enumerate(names):
        if not name:
            raise UsageError(f"--policies {text}: name {place + 1} is empty; write them as in classic,spf-v9")
        if name in names[:place]:
            raise UsageError(f"--policies {text}: {name} is named twice")
    for name in names:
        _check_name("policy", name, (*POLICIES, *ALIASES, *BROKEN), f"--policies {text}")
    return names


def _check_names(scenario: Scenario, draft: Draft) -> None:
    """The loaders refuse unknown names as well, but do not know where they came from."""
    if scenario.workload == Replay.name and "file" not in scenario.options:
        raise UsageError("a recording needs its file: kactors replay FILE")
    known = {"workload": tuple(WORKLOADS), "policy": (*POLICIES, *ALIASES, *BROKEN), "machine": machine_names()}
    for kind, names in known.items():
        _check_name(kind, getattr(scenario, kind), names, draft.blame((kind,)))


def _check_name(kind: str, name: str, names: Sequence[str], blame: str) -> None:
    marks = {"policy": (":", ".py", WITHOUT), "machine": (".toml", "generic:"), "workload": ()}
    if name in names or any(mark in name for mark in marks[kind]):
        return  # known, or for its loader to judge: a file of the user's own, a policy without some checks
    shown = [known for known in names if known not in BROKEN and known not in ALIASES]
    raise UsageError(f"{blame}: there is no {kind} {name}{instead(name, names, shown)}")


def _with_an_end(scenario: Scenario) -> Scenario:
    if scenario.until_ns is not None or scenario.events_max is not None:
        return scenario
    workload = WORKLOADS.get(scenario.workload)
    if workload is not None and workload.endless(scenario.options):
        return scenario.model_copy(update={"until_ns": DEFAULT_UNTIL_NS})
    return scenario
