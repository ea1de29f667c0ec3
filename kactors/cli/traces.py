"""--trace: which file gets which form of trace."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kactors.cli.request import check_scenario
from kactors.engine.errors import ActorCrash, UsageError
from kactors.engine.observer import Observer
from kactors.observers.trace_chrome import ChromeTrace
from kactors.observers.trace_text import TextTrace
from protocols.scenario import Scenario

SUFFIXES = (".txt", ".json")


def check_trace(path: Path) -> None:
    """Refuse a trace that could not be written, before anything is.

    Raises:
        UsageError: an unknown suffix, a missing folder, or no permission.
    """
    if path.suffix not in SUFFIXES:
        raise UsageError(f"--trace {path}: the name must end in .txt (readable lines) or .json (Chrome trace events)")
    if not path.parent.is_dir():
        raise UsageError(f"--trace {path}: there is no folder {path.parent}")
    if path.is_dir():
        raise UsageError(f"--trace {path}: is a folder; name a file")
    # The trace is written beside its target and renamed; a file that may not be written is not to be replaced either.
    if not all(os.access(place, os.W_OK) for place in (path.parent, path) if place.exists()):
        raise UsageError(f"--trace {path}: no permission to write it")


@contextmanager
def open_trace(path: Path | None, scenario: Scenario) -> Iterator[list[Observer]]:
    """Yield the observers that write the trace.

    The trace is put in its place when the run has ended, and also when an actor crashed: then it is wanted most. When
    the run is interrupted, or the trace cannot be written, what was there before stays.

    Raises:
        UsageError: the path or the scenario is wrong, and nothing has been written; or writing fails.
    """
    if path is None:
        yield []
        return
    check_trace(path)
    # First of all, so that no file is made for a request that cannot run.
    cpus = check_scenario(scenario)
    try:
        with _opened(path, cpus) as trace:
            yield [trace]
    except OSError as error:
        raise UsageError(f"--trace {path}: {error.strerror or error}") from error


@contextmanager
def _opened(path: Path, cpus: int) -> Iterator[TextTrace | ChromeTrace]:
    trace = TextTrace(path) if path.suffix == ".txt" else ChromeTrace(path, cpus)
    try:
        try:
            yield trace
        except ActorCrash:
            # Fails as well when it was the trace that could not be written, in the middle of an actor's turn.
            trace.close()
            raise
        trace.close()
    except ActorCrash:
        raise
    except BaseException:
        # What made writing fail may make it fail again; the first failure is the one to tell.
        with suppress(OSError):
            trace.discard()
        raise
