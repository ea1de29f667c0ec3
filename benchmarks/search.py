"""How fast a search is: ``python -m benchmarks.search [--quick]``. One core.

Schedules a second of each strategy that draws, on two faults on one address; states and moves a second of the
exhaustive search, and what partial-order reduction spares it of a plain depth-first search.
"""

import gc
import sys
import time
from dataclasses import dataclass
from statistics import median

from kactors import Scenario
from kactors.checker.search import make_strategy
from kactors.checker.strategies.strategy import Budget, Strategy
from kactors.checker.subject import Subject

TWO_FAULTS = Scenario(workload="same-address", machine="small", cpus=2)
MUNMAP = Scenario(workload="munmap-vs-fault", machine="small", options={"pages": 1}, cpus=2)
SCENES = {"two faults, one address": TWO_FAULTS, "fault and munmap": MUNMAP}
DRAWING = ("random", "pct", "fair-pct", "pos", "delay")
SCHEDULES = 6_000
ROUNDS = 3
TARGET = 3_000
"""Schedules a second of a random walk over two CPUs and about 60 deliveries."""


@dataclass(frozen=True)
class Run:
    """One search: its strategy at the end, and CPU time."""

    strategy: Strategy
    cpu_s: float


def search(scenario: Scenario, strategy: str, budget: Budget) -> Run:
    """Run a strategy until its end; the making of the machine is part of it."""
    gc.collect()
    began_s = time.process_time()
    subject = Subject(scenario)
    chosen = make_strategy(strategy, subject, budget, 1)
    for end in chosen.ends():
        subject.space.verdict(end.state)
    return Run(chosen, time.process_time() - began_s)


def drawing(rounds: int, schedules: int) -> list[str]:
    """Return a row for each strategy that draws; the rounds take turns."""
    runs: dict[str, list[Run]] = {name: [] for name in DRAWING}
    for _ in range(rounds):
        for name in DRAWING:
            runs[name].append(search(TWO_FAULTS, name, Budget(schedules=schedules)))
    lines = [f"{'strategy':12} {'schedules':>10} {'deliveries each':>16} {'schedules/s':>12}"]
    rates: dict[str, float] = {}
    for name, made in runs.items():
        strategy = made[0].strategy
        rates[name] = median(run.strategy.schedules / run.cpu_s for run in made)
        each = strategy.moves / strategy.schedules
        lines.append(f"{name:12} {strategy.schedules:10,} {each:16.1f} {rates[name]:12,.0f}")
    return [*lines, verdict(rates["random"])]


def verdict(rate: float) -> str:
    """Return whether the random walk is as fast as it has to be."""
    met = "met" if rate >= TARGET else "MISSED"
    return f"random walk: {rate:,.0f} schedules/s on one core, target {TARGET:,}: {met}"


def complete() -> list[str]:
    """Return what complete searches cost, with reduction and without."""
    lines = [f"{'scene':25} {'strategy':12} {'states':>8} {'moves':>8} {'moves/s':>10} {'schedules':>26}"]
    for scene, scenario in SCENES.items():
        moves, schedules = [], []
        for name in ("plain", "exhaustive"):
            run = search(scenario, name, Budget())
            strategy = run.strategy
            moves.append(strategy.moves)
            schedules.append(strategy.traces or 0)
            lines.append(
                f"{scene:25} {name:12} {strategy.states or 0:8,} {strategy.moves:8,} "
                f"{strategy.moves / run.cpu_s:10,.0f} {strategy.traces or 0:26,}"
            )
        lines.append(
            f"{scene:25} reduction: {schedules[0] / schedules[1]:.3g} interleavings a trace, "
            f"{moves[0] / moves[1]:.2f} moves of plain a move"
        )
    return lines


def main(arguments: list[str]) -> None:
    quick = arguments == ["--quick"]
    if arguments and not quick:
        sys.exit("usage: python -m benchmarks.search [--quick]")
    print("\n".join(drawing(1, 200) if quick else drawing(ROUNDS, SCHEDULES)))
    print()
    print("\n".join(complete()))


if __name__ == "__main__":
    main(sys.argv[1:])
