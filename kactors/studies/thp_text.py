"""What `kactors ask thp` prints: the answer in sentences, the figures, the interleaving that breaks, a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kactors.report.ablation_report import what
from kactors.report.picture import picture
from kactors.report.search_report import found_parts, page
from kactors.report.tables import table
from kactors.report.units import count, percent
from kactors.studies.thp import COLLAPSING, MALLOC, NONE, SPARSE, MarkerGain, MarkerSearch, Thp
from kactors.studies.words import all_of, rate, sentences, times

QUESTION = " May speculation install page tables, if a PMD under collapse is something other than none?"
SEARCH_HEADERS = ("PMD under collapse", "scene", "verdict", "traces", "states", "schedules", "deliveries")
GAIN_HEADERS = ("workload", "machine", "CPUs", "unit", "never", "speculative", "gain", "classic: never", "speculative")


def thp_text(answer: Thp) -> str:
    """Return the whole answer; the story of what breaks is that of the shortest."""
    broken = [row for row in answer.searches if row.searched.found is not None]
    shortest = min(broken, key=_steps) if broken else None
    story: list[list[str]] = []
    if shortest is not None and shortest.searched.found is not None:
        scene = shortest.searched.scenario.workload
        story = [[f" What breaks {scene} with a PMD of {shortest.marker}:"]]
        story += found_parts(shortest.searched.found, shortest.searched.scenario, ())
    return page(
        [
            [QUESTION],
            sentences(_answers(answer)),
            [" Speculations that install page tables, every interleaving or the first that breaks:"],
            table(SEARCH_HEADERS, [_search_row(row) for row in answer.searches], left=3, indent=" "),
            [" The same under load (spf-v9; page_tables never, or speculative with the mark), a second:"],
            table(GAIN_HEADERS, [_gain_row(row) for row in answer.gains], left=2, indent=" "),
            *story,
            picture(f"{SPARSE}: records/s on {answer.gains[-1].machine}", _curves(answer.gains), x="CPUs"),
        ]
    )


def _steps(row: MarkerSearch) -> int:
    return 0 if row.searched.found is None else len(row.searched.found.story)


def _answers(answer: Thp) -> Iterator[str]:
    for marker, look in (
        (NONE, "With a PMD that is none while it is collapsed"),
        (COLLAPSING, "With a mark of its own"),
    ):
        rows = [row for row in answer.searches if row.marker == marker]
        yield f"{look}: {_verdict(rows)}."
    yield from _gains(answer.gains)


def _verdict(rows: Sequence[MarkerSearch]) -> str:
    broken = [row for row in rows if row.searched.found is not None]
    if broken:
        steps = [f"{row.searched.scenario.workload} in {_steps(row)} steps" for row in broken]
        names = {what(row.searched.found.stop) for row in broken if row.searched.found is not None}
        return f"not safe. {all_of(sorted(names))} breaks: {all_of(steps)}"
    if all(row.safe for row in rows):
        covered = [f"{row.searched.scenario.workload}, {count(row.searched.traces or 0)} traces" for row in rows]
        return f"safe. Every interleaving was gone through ({'; '.join(covered)}), and no property breaks"
    return "nothing was found, but not every interleaving was gone through"


def _gains(gains: Sequence[MarkerGain]) -> Iterator[str]:
    for workload, lacks in ((SPARSE, "each fault lacks a page table"), (MALLOC, "some do")):
        rows = [row for row in gains if row.workload == workload]
        told = [f"{times(row.gain)} on {row.cpus} CPUs of {row.machine}" for row in rows]
        if told:
            yield f"Gain where {lacks} ({workload}): {'; '.join(told)}."
    least = min(gains, key=lambda row: row.cpus)
    if least.cpus == 1:
        yield (
            f"A single thread that nobody competes with gains {100 * (least.gain.mean - 1):+.1f} %: the gain is that"
            " of not taking mmap_sem, and not that of a shorter fault."
        )


def _search_row(row: MarkerSearch) -> list[str]:
    searched = row.searched
    verdict = "safe" if row.safe else "not covered" if searched.found is None else what(searched.found.stop)
    traces = "-" if searched.traces is None else count(searched.traces)
    figures = (searched.states, searched.schedules, searched.steps)
    return [row.marker, searched.scenario.workload, verdict, traces, *map(count, figures)]


def _gain_row(row: MarkerGain) -> list[str]:
    rates = [rate(row.never), rate(row.speculative), times(row.gain)]
    shares = [percent(row.classic_never, 1), percent(row.classic_speculative, 1)]
    return [row.workload, row.machine, str(row.cpus), row.unit, *rates, *shares]


def _curves(gains: Sequence[MarkerGain]) -> dict[str, list[tuple[float, float]]]:
    rows = sorted((row for row in gains if row.workload == SPARSE), key=lambda row: row.cpus)
    machine = rows[0].machine if rows else ""
    rows = [row for row in rows if row.machine == machine]
    never = [(float(row.cpus), row.never.mean) for row in rows]
    return {"never": never, "speculative": [(float(row.cpus), row.speculative.mean) for row in rows]}
