"""What `kactors profile --sensitivity` prints."""

from __future__ import annotations

import math
from collections.abc import Iterator

from kactors.report.search_report import page
from kactors.report.tables import table
from kactors.report.units import count, duration
from kactors.studies.sensitivity import PERCENT, Change, Figure, Sensitivity
from kactors.studies.words import NOISE, rate, sentences, share, times

FIGURE_HEADERS = ("figure", "published", "simulated", "off by", "runs", "source")
CHANGE_HEADERS = ("parameter", "origin", "value", "changed to", "figure", "becomes", "off by")


def sensitivity_text(answer: Sensitivity) -> str:
    """Return the whole answer."""
    return page(
        [
            [f" {answer.machine}: what its figures hang on (seed {answer.seed})"],
            sentences(_sentences(answer)),
            [" As the profile is:"],
            table(FIGURE_HEADERS, list(_figure_rows(answer)), last_left=True, indent=" "),
            [f" With one value changed by {PERCENT} %; {NOISE}: the interval holds 1, it may be chance:"],
            table(CHANGE_HEADERS, list(_change_rows(answer)), left=2, indent=" "),
            [" What each fitted value was chosen for; the figures of other machines are not among those above:"],
            sentences(f"{fit.parameter}: fitted {fit.to}." for fit in answer.fits),
        ]
    )


def _sentences(answer: Sensitivity) -> Iterator[str]:
    if not answer.changes:
        yield "None of its values is fitted: nothing was chosen so that these figures come out."
        return
    moved = [change for change in answer.changes if not change.ratio.holds(1.0)]
    told = f"{len(moved)} of {len(answer.changes)} changes move a figure by more than chance"
    if moved:
        most = max(moved, key=lambda change: abs(change.ratio.mean - 1))
        told += (
            f"; the most, {most.parameter} from {most.value} to {most.changed}, makes {most.figure} {times(most.ratio)}"
        )
    yield f"{told}."
    vague = sum(not figure.met for figure in answer.figures) + sum(not change.met for change in answer.changes)
    if vague:
        yield f"{vague} figures are not as exact as was asked for: their runs ended before."
    for name in answer.lacking:
        yield f"recordings/{name} is not there: the figures that it gives are left out."


def _figure_rows(answer: Sensitivity) -> Iterator[list[str]]:
    for figure in answer.figures:
        off = f"{100 * figure.error:+.1f} %"
        yield [figure.name, _published(figure), _simulated(figure), off, figure.how, figure.source]


def _published(figure: Figure) -> str:
    match figure.unit:
        case "times":
            return f"{figure.published:.2f}x"
        case "share":
            return f"{100 * figure.published:.2f} %"
        case "ns":
            return duration(round(figure.published))
    return f"{count(figure.published)}/s"


def _simulated(figure: Figure) -> str:
    simulated = figure.simulated
    match figure.unit:
        case "times":
            return times(simulated)
        case "share":
            return share(simulated)
        case "ns":
            ends = (duration(round(end)) if math.isfinite(end) else "?" for end in (simulated.low, simulated.high))
            return f"{duration(round(simulated.mean))} ({' to '.join(ends)})"
    return rate(simulated)


def _change_rows(answer: Sensitivity) -> Iterator[list[str]]:
    before: tuple[str, int] | None = None
    for change in answer.changes:
        same = before == (change.parameter, change.changed)
        before = (change.parameter, change.changed)
        head = ["", "", "", ""] if same else [change.parameter, change.origin, str(change.value), str(change.changed)]
        yield [*head, change.figure, _ratio(change), f"{100 * change.error:+.1f} %"]


def _ratio(change: Change) -> str:
    return f"{NOISE + ' ' if change.ratio.holds(1.0) else ''}{times(change.ratio)}"
