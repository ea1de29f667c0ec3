"""`kactors ablate`: which of a policy's checks are needed, which are redundant, and what breaks without the others."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from typing import Any

import click

from kactors.checker.ablation import ablate_one, checks_of, subsets, sum_up
from kactors.checker.strategies.strategy import Budget
from kactors.cli.check import AT_LEAST_ONE, MACHINE
from kactors.cli.commands import main
from kactors.cli.durations import Seconds
from kactors.cli.request import Overrides, build_scenario, untimed_options
from kactors.report.ablation_report import ablation_report
from kactors.report.exits import FINDING
from kactors.sweep import RunsBar, worker_processes
from protocols.scenario import Scenario
from protocols.search import Ablated

SCENES = ("two-faults", "munmap-page", "munmap-table", "mail-deadlock", "collapse-fault")


@dataclass(frozen=True)
class Trial:
    """What one process needs to search the policy without one subset of its checks."""

    policy: str
    dropped: tuple[str, ...]
    scenes: tuple[Scenario, ...]
    seed: int
    until_s: float | None

    def run(self) -> Ablated:
        """Search."""
        until_s = self.until_s
        expired = None if until_s is None else lambda: time.monotonic() >= until_s
        return ablate_one(self.policy, self.dropped, self.scenes, Budget(expired=expired), self.seed)


@main.command()
@click.argument("policy")
@click.option("--checks", help="Checks to drop, with commas; by default those that the policy puts in question.")
@click.option(
    "--scene", "scenes", multiple=True, help=f"A workload to search. Repeatable; by default {', '.join(SCENES)}."
)
@untimed_options
@click.option("-j", "--processes", type=AT_LEAST_ONE, help="Processes, by default one a CPU.")
@click.option("--time", "seconds", type=Seconds(), help="Seconds after which nothing more is searched.")
@click.option("--stories", is_flag=True, help="Tell the story of each subset that is not safe.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (docs/json.md).")
def ablate(
    policy: str,
    checks: str | None,
    scenes: tuple[str, ...],
    processes: int | None,
    seconds: float | None,
    stories: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Search POLICY without every subset of its checks: what is enough, what is redundant, what breaks.

    Exit code 1 if something breaks with all checks in place.
    """
    names = checks_of(policy, [] if checks is None else [name.strip() for name in checks.split(",")])
    asked = [build_scenario(Overrides(**given), workload=scene, machine=MACHINE) for scene in scenes or SCENES]
    until_s = None if seconds is None else time.monotonic() + seconds
    trials = [Trial(policy, dropped, tuple(asked), asked[0].seed, until_s) for dropped in subsets(names)]
    rows = dict(_run_all(trials, processes or os.cpu_count() or 1))
    ablation = sum_up(policy, names, asked, [rows[place] for place in range(len(trials))])
    if as_json:
        click.echo(json.dumps(ablation.model_dump(mode="json"), indent=2))
    else:
        click.echo(ablation_report(ablation, stories=stories), nl=False)
    return FINDING if ablation.rows[0].found is not None else 0


def _run_all(trials: Sequence[Trial], processes: int) -> Iterator[tuple[int, Ablated]]:
    """Yield (place, row) as each is done. A row depends on its trial alone, so where it is made does not matter."""
    with RunsBar(len(trials)) as bar, worker_processes(processes, preload=(__name__,)) as pool:
        places = {pool.submit(Trial.run, trial): place for place, trial in enumerate(trials)}
        for future in as_completed(places):
            row = future.result()
            bar.advance(f"without {', '.join(row.dropped) or 'nothing'}")
            yield places[future], row
