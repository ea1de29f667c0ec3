"""`kactors validate`: recorded against simulated."""

from __future__ import annotations

import json
from typing import Any

import click

from kactors.cli.commands import main
from kactors.cli.progress import meter
from kactors.cli.request import Overrides, build_scenario, untimed_options
from kactors.report.exits import FINDING
from kactors.studies.validate import MACHINE, POLICY, validate
from kactors.studies.validation_text import validation_text


@main.command("validate")
@click.argument("recording")
@untimed_options
@click.option("--policy", help=f"The recorded kernel's fault policy; by default {POLICY}.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (docs/json.md).")
@click.option("--strict", is_flag=True, help="Exit with 1 when a duration misses its target.")
def validate_command(recording: str, policy: str | None, as_json: bool, strict: bool, **given: Any) -> int:
    """Replay RECORDING, traced as it was, and print its times and counts beside the simulation's.

    The machine is zen4-vm-2 unless --machine names another. Each duration of which more than 50 samples were recorded
    has a target: p50 within a factor 1.5, p99 within 3. Missing one is no finding.
    """
    scenario = build_scenario(Overrides(**given, policy=policy or POLICY), recording=recording, machine=MACHINE)
    with meter(scenario, as_json=as_json) as shown:
        how: dict[str, Any] = {} if shown is None else {"limits": shown.limits, "on_ready": shown.watch}
        validation = validate(scenario, **how)
    click.echo(json.dumps(validation.to_json(), indent=2) if as_json else validation_text(validation), nl=as_json)
    return FINDING if strict and not validation.within else 0
