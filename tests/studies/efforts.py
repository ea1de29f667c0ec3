"""Efforts so small that a test can wait for the study."""

from kactors.studies.effort import Effort


def small_effort(on_done=lambda _what: None, *, events_max=15_000, relative=0.2):
    """In this process; a run ends after so many deliveries, however wide its interval is by then."""
    return Effort(workers=1, relative=relative, events_max=events_max, on_done=on_done)
