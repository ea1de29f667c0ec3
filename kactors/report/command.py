"""The command that repeats a run, and the name under which its numbers are printed."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from kactors.report.units import exact
from kactors.workloads.ebizzy import Ebizzy, EbizzyOptions
from kactors.workloads.recording import Replay
from protocols.result import Result
from protocols.scenario import Bounds, Khugepaged, Scenario

EBIZZY_FLAGS = ("m", "M", "T", "R", "p", "P")


def title(result: Result) -> str:
    """Return what perf stat would print as the command: ebizzy -mTRp."""
    options = result.scenario.options
    if result.workload == Ebizzy.name:
        return _ebizzy(options)
    if result.workload == Replay.name and "file" in options:
        return f"replay {options['file']}"
    return " ".join((result.workload, *(f"{key}={_text(value)}" for key, value in options.items())))


def again(result: Result) -> str:
    """Return the command that repeats the run, or nothing when Python code stood in for the scenario's workload."""
    return command(result.scenario) if result.workload == result.scenario.workload else ""


def command(scenario: Scenario) -> str:
    """Return the command line of a scenario; ``events_max`` has none and is left out."""
    options = dict(scenario.options)
    if scenario.workload == Replay.name and isinstance(options.get("file"), str):
        words = ["kactors", "replay", str(options.pop("file"))]
    else:
        words = ["kactors", "run", scenario.workload]
    words += [
        "--machine",
        scenario.machine,
        "--policy",
        scenario.policy,
        "--seed",
        str(scenario.seed),
        *_size(scenario),
    ]
    if scenario.until_ns is not None:
        words += ["--until", exact(scenario.until_ns)]
    for setting in _settings(scenario, options):
        words += ["--set", setting]
    return shlex.join(words)


def replay_schedule(schedule: str, scenario: Scenario, properties: Sequence[str] = ()) -> str:
    """Return the command line that runs a schedule of a scenario again, judged by these properties too."""
    words = ["kactors", "replay-schedule", schedule, scenario.workload]
    words += ["--machine", scenario.machine, "--policy", scenario.policy, *_size(scenario)]
    for setting in _settings(scenario, scenario.options):
        words += ["--set", setting]
    for name in properties:
        words += ["--property", name]
    return shlex.join(words)


def _size(scenario: Scenario) -> list[str]:
    sizes = (("--cpus", scenario.cpus), ("--threads", scenario.threads))
    return [word for name, value in sizes if value is not None for word in (name, str(value))]


def _settings(scenario: Scenario, options: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"{key}={_text(value)}" for key, value in options.items())
    yield from (f"policy.{key}={_text(value)}" for key, value in scenario.policy_options.items())
    yield from (f"machine.{key}={_text(value)}" for key, value in scenario.costs.items())
    yield from (f"bounds.{key}={_text(value)}" for key, value in _changed(scenario.bounds, Bounds()))
    yield from (f"khugepaged.{key}={_text(value)}" for key, value in _changed(scenario.khugepaged, Khugepaged()))


def _changed(part: BaseModel, default: BaseModel) -> Iterator[tuple[str, Any]]:
    return ((key, value) for key, value in part if value != getattr(default, key))


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _ebizzy(options: Mapping[str, Any]) -> str:
    parsed = EbizzyOptions.parse(Ebizzy.name, options)
    flags = "".join(flag for flag in EBIZZY_FLAGS if getattr(parsed, flag))
    numbers = [f"-{key} {value}" for key, value in _changed(parsed, EbizzyOptions()) if key not in EBIZZY_FLAGS]
    return " ".join(("ebizzy", *([f"-{flags}"] if flags else []), *numbers))
