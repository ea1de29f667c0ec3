"""What a study may spend, and whom it tells how far it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kactors.sweep import run_all
from kactors.sweep.precision import Precision, measure_all
from protocols.measurement import Measurement
from protocols.result import Result
from protocols.scenario import Scenario


@dataclass(frozen=True)
class Effort:
    """How exactly a study answers, and with what.

    Attributes:
        seed: of every run.
        precision: to which rates are measured.
        workers: processes; None: one a CPU.
        on_done: called with a few words as each run ends.
    """

    seed: int = 1
    precision: Precision = field(default_factory=lambda: Precision(relative=0.05))
    workers: int | None = None
    on_done: Callable[[str], None] = lambda _what: None

    def measure(self, scenarios: Sequence[Scenario]) -> list[Measurement]:
        """Measure each scenario to the precision; the properties are not watched, which takes a third longer."""
        return measure_all(
            scenarios, self.precision, workers=self.workers, on_done=lambda _, done: self._tell(done.result)
        )

    def run(self, scenarios: Sequence[Scenario]) -> list[Result]:
        """Run each scenario to its end."""
        return run_all(scenarios, workers=self.workers, properties=False, on_done=lambda _, done: self._tell(done))

    def _tell(self, result: Result) -> None:
        self.on_done(f"{result.workload} under {result.policy} on {result.cpus} CPUs")
