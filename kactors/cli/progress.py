"""A progress line for one run, on a terminal only: virtual time, deliveries a second."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager, nullcontext

from rich.progress import BarColumn, ProgressColumn, TextColumn

from kactors.checker.covered import Covered
from kactors.engine.engine import Engine, Limits
from kactors.report.units import count, duration
from kactors.sweep.progress import Bar
from protocols.scenario import Scenario

DELIVERIES_A_LOOK = 4096
"""So often is the clock read: some ten times a second."""
REFRESH_S = 0.1


class RunBar(Bar):
    """The line itself, for whoever knows where the run is."""

    def __init__(self, scenario: Scenario, *, as_json: bool = False) -> None:
        super().__init__(*_columns(scenario.policy), total=scenario.until_ns, as_json=as_json)
        self._until = f" of {duration(scenario.until_ns)}" if scenario.until_ns else ""
        self._shown_s = time.monotonic()
        self._shown_events = 0

    def show(self, now_ns: int, events: int, more: str = "") -> None:
        """Show where the run is, and what else there is to say of it, unless that was done a moment ago."""
        now_s = time.monotonic()
        if now_s - self._shown_s < REFRESH_S:
            return
        rate = (events - self._shown_events) / (now_s - self._shown_s)
        self._shown_s, self._shown_events = now_s, events
        text = f"virtual time {duration(now_ns)}{self._until}, {count(rate)} events/s{more}"
        self.tell(completed=now_ns, description=text)


class Meter(RunBar):
    """Watches a run through the engine's predicate, which costs a call a delivery, and so only on a terminal."""

    def __init__(self, scenario: Scenario, *, as_json: bool = False) -> None:
        super().__init__(scenario, as_json=as_json)
        self._engine: Engine | None = None
        self._left = DELIVERIES_A_LOOK
        self.limits = Limits(scenario.until_ns, scenario.events_max, self._tick)

    def watch(self, engine: Engine) -> None:
        """Name the engine that is to be watched."""
        self._engine = engine

    def _tick(self) -> bool:
        """Called after each delivery; never stops the run."""
        self._left -= 1
        if not self._left:
            self._left = DELIVERIES_A_LOOK
            if self._engine is not None:
                self.show(self._engine.now_ns, self._engine.events)
        return False


def meter(scenario: Scenario, *, as_json: bool = False) -> AbstractContextManager[Meter | None]:
    """Return a meter on a terminal, else nothing."""
    return Meter(scenario, as_json=as_json) if sys.stderr.isatty() else nullcontext()


def run_bar(scenario: Scenario, *, as_json: bool = False) -> AbstractContextManager[RunBar | None]:
    """Return a bar on a terminal, else nothing."""
    return RunBar(scenario, as_json=as_json) if sys.stderr.isatty() else nullcontext()


class SearchBar(Bar):
    """A line for a search, on a terminal only: what it has covered, and how fast."""

    def __init__(self, strategy: str) -> None:
        super().__init__(*_columns(strategy), total=None)
        self._begun_s = time.monotonic()
        self._shown_s = 0.0

    def show(self, covered: Covered) -> None:
        """Show how far the search is, unless that was shown a moment ago."""
        now_s = time.monotonic()
        if now_s - self._shown_s < REFRESH_S:
            return
        self._shown_s = now_s
        rate = covered.steps / max(now_s - self._begun_s, REFRESH_S)
        text = f"{count(covered.schedules)} schedules, {count(covered.states)} states, {count(rate)} deliveries/s"
        self.tell(description=text)


def _columns(title: str) -> tuple[ProgressColumn, ...]:
    return (TextColumn(title), BarColumn(), TextColumn("{task.description}"))
