"""A finding of a search as text."""

from __future__ import annotations

from kactors.report.finding import finding
from kactors.report.tables import table
from protocols.search import Found
from protocols.stop import AnyStop, BoundExceeded, Livelock, Violation


def in_a_line(stop: AnyStop, policy: str) -> str:
    """Return what was found under a policy."""
    what: str = stop.kind
    if isinstance(stop, Violation):
        what = f"{stop.property} is violated: {stop.text}"
    elif isinstance(stop, Livelock):
        what = f"livelock: {stop.text}"
    elif isinstance(stop, BoundExceeded):
        what = f"{stop.bound} is exceeded: {stop.value}, at most {stop.limit} are allowed"
    return f"an interleaving under {policy} ends badly: {what}"


def finding_text(found: Found) -> str:
    """Return the finding with its story, a line a step."""
    rows = [
        [str(number), "<-" if number == found.critical else "", step.on, step.says, step.effect, step.source]
        for number, step in enumerate(found.story)
    ]
    lines = [*finding(found.stop, 0), "", *table(("step", "", "on", "says", "effect", "source"), rows, left=6)]
    if found.critical is not None:
        lines += ["", f"  <- after step {found.critical} every continuation fails"]
    return "\n".join(line.rstrip() for line in lines)
