"""A finding of a search as text."""

from __future__ import annotations

from kactors.report.finding import finding
from kactors.report.story import story
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
    """Return the finding with its story, as ``kactors check`` draws it."""
    return "\n".join([*finding(found.stop, None), "", *story(found.story, found.critical)])
