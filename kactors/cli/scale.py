"""`kactors scale`: throughput against CPUs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from kactors.cli.commands import main
from kactors.cli.measuring import Share
from kactors.cli.request import Overrides, build_scenario, check_scenario, policy_names
from kactors.report.exits import FINDING

CPUS_MAX = 4096
EVENTS_MAX = 1_500_000


class Sizes(click.ParamType[Sequence[int]]):
    """Numbers of CPUs: 1..64, or 1,2,48."""

    name = "cpus"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Sequence[int]:
        """Return them sorted."""
        from kactors.studies.scale import parse_sizes

        try:
            sizes = parse_sizes(str(value))
        except ValueError:
            sizes = []
        if not sizes or sizes[-1] > CPUS_MAX:
            self.fail(f"{value!r}: write CPUs like 1..64 (powers of two and the ends) or 1,2,48, up to {CPUS_MAX}")
        return sizes


@main.command()
@click.argument("workload")
@click.option(
    "--cpus", type=Sizes(), default="1..64", show_default=True, help="1..1024: powers of two and the ends; or 1,2,48."
)
@click.option("--policies", default="classic,spf-v9", show_default=True, help="With commas.")
@click.option(
    "--machine",
    default="generic",
    show_default=True,
    help="generic grows with the CPUs; another is cut to them, or its sockets are repeated.",
)
@click.option("--precision", type=Share(), default="3%", show_default=True, help="Half-width of each rate's interval.")
@click.option(
    "--events-max", type=click.IntRange(1), default=EVENTS_MAX, show_default=True, help="Deliveries for each rate."
)
@click.option("--threads", type=int, help="Worker threads at every size; by default as many as the workload wants.")
@click.option("--seed", type=int, help="Seed of everything that the model leaves open.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="As for `kactors run`. Repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (docs/json.md).")
def scale(
    workload: str,
    *,
    cpus: Sequence[int],
    policies: str,
    machine: str,
    precision: float,
    events_max: int,
    as_json: bool,
    **given: Any,
) -> int:
    """Measure a WORKLOAD at many numbers of CPUs, fit a scalability law, tell knees and what saturates.

    Each rate costs at most so many deliveries as --events-max says: some ten seconds. Where that is too
    little for the precision, the table says so.
    """
    from kactors.report.scaling import scaling_report
    from kactors.studies.scale import scale as measure, scenarios
    from kactors.sweep import RunsBar
    from kactors.sweep.precision import Precision

    names = policy_names(policies)
    shown = machine if machine != "generic" else f"generic:{cpus[0]}"
    scenario = build_scenario(Overrides(machine=shown, policy=names[0], **given), workload=workload, endless=True)
    todo = scenarios(scenario.model_copy(update={"machine": machine}), cpus, names)
    for each in todo[:: len(cpus)]:
        check_scenario(each)
    with RunsBar(len(todo), as_json=as_json) as bar:
        found = measure(
            todo,
            Precision(relative=precision, events_max=events_max),
            on_done=lambda place, measured: bar.done(place, measured.result),
        )
    click.echo(
        json.dumps([each.to_json() for each in found], indent=2) if as_json else scaling_report(found), nl=as_json
    )
    if any(size.finding for each in found for size in each.sizes):
        return FINDING
    return 0
