"""What `kactors ablate` prints: each subset of the checks, what is enough, what is redundant."""

from __future__ import annotations

from collections.abc import Iterator

from kactors.report.search_report import found_parts, page
from kactors.report.tables import table
from protocols.search import Ablated, Ablation
from protocols.stop import AnyStop, Violation

DROPPED, KEPT = "-", "x"


def ablation_report(ablation: Ablation, *, stories: bool) -> str:
    """Return plain text; ``stories``: with what happened in each subset that is not safe."""
    parts = [_what_was_searched(ablation), _subsets(ablation), [*_conclusions(ablation)]]
    for row in ablation.rows if stories else ():
        if row.found is not None:
            title = f" Without {', '.join(row.dropped) or 'anything left out'}:"
            parts += [[title], *found_parts(row.found, row.found.scenario, ())]
    return page(parts)


def _what_was_searched(ablation: Ablation) -> list[str]:
    states = sum(row.states for row in ablation.rows)
    return [
        f" policy   {ablation.policy}, without each of {len(ablation.rows)} subsets of {len(ablation.checks)} checks",
        f" scenes   {', '.join(ablation.scenes)}: every interleaving of each, {states} states in all",
    ]


def _subsets(ablation: Ablation) -> list[str]:
    """Draw a row a subset, a column a check."""
    legend = [f"{number}  {check}" for number, check in enumerate(ablation.checks, 1)]
    headers = [*(str(number) for number in range(1, len(ablation.checks) + 1)), "verdict", "in", "steps"]
    rows = [
        [*(DROPPED if check in row.dropped else KEPT for check in ablation.checks), *_verdict(row)]
        for row in ablation.rows
    ]
    drawn = table(headers, rows, left=len(headers) - 1)
    hint = " --stories tells each, with the line that replays it."
    return [f" {KEPT} in place, {DROPPED} dropped:", *(f"  {line}" for line in legend), "", *drawn, "", hint]


def _verdict(row: Ablated) -> list[str]:
    if row.found is None:
        return ["safe" if row.complete else "not covered", "", ""]
    return [what(row.found.stop), row.found.scenario.workload, str(len(row.found.story))]


def what(stop: AnyStop) -> str:
    """Return a finding in a word: the property that broke, or the kind of end."""
    return stop.property if isinstance(stop, Violation) else stop.kind


def _conclusions(ablation: Ablation) -> Iterator[str]:
    if not any(row.safe for row in ablation.rows):
        searched = any(row.found is not None for row in ablation.rows)
        yield (
            " No subset is known to be safe, the whole policy included."
            if searched
            else " Nothing was covered wholly, so nothing is known: give it more time."
        )
        return
    yield " Enough, and with nothing to spare:"
    for kept in ablation.minimal:
        yield f"  {', '.join(kept) or 'none of these checks'}"
    yield f" Redundant (no safe set needs it): {', '.join(ablation.redundant) or 'none'}."
    yield f" Can be dropped alone, but not with everything else: {', '.join(ablation.spare) or 'none'}."
    left = sum(not row.safe and row.found is None for row in ablation.rows)
    if left:
        yield f" {left} subsets were not covered wholly, so more may be safe than is told here."
