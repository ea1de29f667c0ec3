"""What a study may spend, and whom it tells how far it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from kactors.recordings.times import Timing
from kactors.studies.validate import replayed_times
from kactors.sweep import do_all, run_all
from kactors.sweep.precision import Precision, measure_all
from protocols.measurement import Measurement
from protocols.result import Result
from protocols.scenario import Scenario


@dataclass(frozen=True)
class Effort:
    """How exactly a study answers, and with what.

    Attributes:
        seed: of every run.
        relative: half-width of a rate's interval, as a share of the rate.
        events_max: deliveries after which a run ends, exact or not.
        workers: processes; None: one a CPU.
        on_done: called with a few words as each run ends.
    """

    seed: int = 1
    relative: float = 0.05
    events_max: int | None = None
    workers: int | None = None
    on_done: Callable[[str], None] = lambda _what: None

    def measure(self, scenarios: Sequence[Scenario], sampled_ns_min: Sequence[int] | None = None) -> list[Measurement]:
        """Measure each scenario to the precision; the properties are not watched, which takes a third longer.

        Args:
            scenarios: what is measured; the longest should come first.
            sampled_ns_min: of each, the virtual time that is sampled at least.
        """
        precisions = [
            Precision(relative=self.relative, events_max=self.events_max, sampled_ns_min=least_ns)
            for least_ns in sampled_ns_min or [0] * len(scenarios)
        ]
        return measure_all(scenarios, precisions, workers=self.workers, on_done=lambda _, done: self._tell(done.result))

    def run(self, scenarios: Sequence[Scenario]) -> list[Result]:
        """Run each scenario to its end."""
        return run_all(scenarios, workers=self.workers, properties=False, on_done=lambda _, done: self._tell(done))

    def replay(self, scenarios: Sequence[Scenario]) -> list[Mapping[Timing, Sequence[int]]]:
        """Replay each scenario's recording, and return each time that was taken, in ns."""
        return do_all(
            [partial(replayed_times, scenario) for scenario in scenarios],
            workers=self.workers,
            on_done=lambda place, _: self.on_done(f"a replay on {scenarios[place].machine}"),
        )

    def _tell(self, result: Result) -> None:
        self.on_done(f"{result.workload} under {result.policy} on {result.cpus} CPUs")
