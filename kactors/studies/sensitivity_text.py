"""What `kactors profile --sensitivity` prints."""

from __future__ import annotations

from collections.abc import Iterator

from kactors.report.search_report import page
from kactors.report.tables import table
from kactors.report.units import count
from kactors.studies.sensitivity import PERCENT, Change, Sensitivity
from kactors.studies.words import NOISE, rate, sentences, times

FIGURE_HEADERS = ("figure", "published", "simulated, a second", "off by", "source")
CHANGE_HEADERS = ("parameter", "origin", "value", "changed to", "figure", "rate becomes", "off by")


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
        ]
    )


def _sentences(answer: Sensitivity) -> Iterator[str]:
    if not answer.changes:
        yield "None of its values is fitted: nothing was chosen so that these figures come out."
        return
    moved = [change for change in answer.changes if not change.ratio.holds(1.0)]
    most = max(answer.changes, key=lambda change: abs(change.ratio.mean - 1))
    yield (
        f"{len(moved)} of {len(answer.changes)} changes move a figure by more than chance; the most,"
        f" {most.parameter} from {most.value} to {most.changed}, makes {most.figure} {times(most.ratio)}."
    )
    vague = sum(not figure.met for figure in answer.figures) + sum(not change.met for change in answer.changes)
    if vague:
        yield f"{vague} rates are not as exact as was asked for: their runs ended before."


def _figure_rows(answer: Sensitivity) -> Iterator[list[str]]:
    for figure in answer.figures:
        off = f"{100 * figure.error:+.1f} %"
        yield [figure.name, count(figure.published), rate(figure.simulated), off, figure.source]


def _change_rows(answer: Sensitivity) -> Iterator[list[str]]:
    before: tuple[str, int] | None = None
    for change in answer.changes:
        same = before == (change.parameter, change.changed)
        before = (change.parameter, change.changed)
        head = ["", "", "", ""] if same else [change.parameter, change.origin, str(change.value), str(change.changed)]
        yield [*head, change.figure, _ratio(change), f"{100 * change.error:+.1f} %"]


def _ratio(change: Change) -> str:
    return f"{NOISE + ' ' if change.ratio.holds(1.0) else ''}{times(change.ratio)}"
