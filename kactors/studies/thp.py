"""The mail's third question: could a PMD under collapse be something other than none, and would that help?

Safe or not is searched: speculations install page tables, on scenes in which khugepaged collapses the range, with
either look of a PMD under collapse. What it gains is measured where page tables are what faults lack.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from kactors.checker.job import Job, Searching, Watch, told
from kactors.checker.slices import finish
from kactors.studies.effort import Effort
from kactors.studies.published import P8, X86
from kactors.sweep import do_all
from kactors.sweep.estimates import gain
from protocols.measurement import Interval, Measurement
from protocols.result import Record, Result
from protocols.scenario import OptionValue, Scenario
from protocols.search import Searched

NONE, COLLAPSING = "none", "collapsing"
MARKERS = (NONE, COLLAPSING)
SCENES: Final = ("mail", "collapse-fault")
"""Litmus scenes with a fault in the range that khugepaged collapses, with a munmap and without."""

SPARSE, MALLOC = "sparse", "malloc1"
GAINS: Final = ((SPARSE, P8, 80), (SPARSE, X86, 16), (SPARSE, X86, 4), (SPARSE, X86, 1), (MALLOC, X86, 16))
"""Each fault lacks its page table; and the real benchmark that comes nearest to that."""


class MarkerSearch(Record):
    """One search: how a PMD under collapse looks, and what came of speculations that install page tables."""

    marker: str
    searched: Searched

    @property
    def safe(self) -> bool:
        """Nothing breaks, in any interleaving of the scene."""
        return self.searched.complete and self.searched.found is None


class MarkerGain(Record):
    """What it brings that speculations install page tables.

    Attributes:
        workload, machine, cpus: what ran on what.
        unit: what a rate counts.
        never, speculative: units a second without and with it.
        gain: the ratio of these.
        classic_never, classic_speculative: share of the faults that took the classic path, 0 to 1.
    """

    workload: str
    machine: str
    cpus: int
    unit: str
    never: Interval
    speculative: Interval
    gain: Interval
    classic_never: float
    classic_speculative: float


class Thp(Record):
    """The answer: what was searched, what was measured."""

    seed: int
    searches: tuple[MarkerSearch, ...]
    gains: tuple[MarkerGain, ...]


Loaded = tuple[str, str, int]
"""Workload, machine, CPUs."""


def ask(effort: Effort, scenes: Sequence[str] | None = None, loads: Sequence[Loaded] | None = None) -> Thp:
    """Search the scenes and measure the loads, by default all, and return what it came to."""
    rows = search_all(searches(effort.seed, scenes), effort)
    measured = effort.measure([scenario for load in loads or GAINS for scenario in pair(*load, effort.seed)])
    gains = [tell_gain(never, other) for never, other in zip(measured[::2], measured[1::2], strict=True)]
    return Thp(seed=effort.seed, searches=tuple(rows), gains=tuple(gains))


def runs() -> int:
    """Return how many runs and searches the answer takes."""
    return len(searches(1)) + 2 * len(GAINS)


def pair(workload: str, machine: str, cpus: int, seed: int) -> tuple[Scenario, Scenario]:
    """Return the scenario as version 9 has it, and with page tables by speculations behind a mark."""
    never = Scenario(workload=workload, machine=machine, cpus=cpus, policy="spf-v9", seed=seed)
    return never, never.model_copy(update={"policy_options": _options(COLLAPSING)})


def tell_gain(never: Measurement, speculative: Measurement) -> MarkerGain:
    """Return what two measurements come to."""
    result = never.result
    return MarkerGain(
        workload=result.workload,
        machine=result.machine,
        cpus=result.cpus,
        unit=never.unit,
        never=never.rate,
        speculative=speculative.rate,
        gain=gain([speculative], [never]),
        classic_never=_classic_share(never.result),
        classic_speculative=_classic_share(speculative.result),
    )


def _classic_share(result: Result) -> float:
    return result.fault_paths.get("classic", 0) / max(sum(result.fault_paths.values()), 1)


def searches(seed: int, scenes: Sequence[str] | None = None) -> list[Job]:
    """Return what is searched, both markers of each scene; the longest first.

    With pmd_none a finding is expected, and drawn schedules meet it soonest; with a mark all interleavings must be
    covered.
    """
    jobs = [_job(scene, marker, seed) for scene in scenes or SCENES for marker in reversed(MARKERS)]
    return sorted(jobs, key=lambda job: job.strategy != "exhaustive")


def _job(scene: str, marker: str, seed: int) -> Job:
    scenario = Scenario(workload=scene, machine="small", policy="spf-v9", policy_options=_options(marker), seed=seed)
    return Job(scenario, strategy="portfolio" if marker == NONE else "exhaustive", seed=seed)


def _options(marker: str) -> dict[str, OptionValue]:
    return {"page_tables": "speculative", "pmd_marker": marker}


def search_all(jobs: Sequence[Job], effort: Effort) -> list[MarkerSearch]:
    """Search each job and return what came of it in the same order; where it is searched does not matter."""
    done = do_all(
        [partial(_search, job) for job in jobs],
        workers=effort.workers,
        preload=(__name__,),
        on_done=lambda _, searched: effort.on_done(f"{searched.scenario.workload}, {searched.strategy}"),
    )
    return [MarkerSearch(marker=_marker(job), searched=searched) for job, searched in zip(jobs, done, strict=True)]


def _search(job: Job) -> Searched:
    covered = finish(Searching(job, Watch()).slices())
    return finish(told(job, covered, shrunk=True))


def _marker(job: Job) -> str:
    return str(job.scenario.policy_options["pmd_marker"])
