"""Searches, in this process or in several: who explores which piece, and for how long."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from kactors.checker.covered import Covered
from kactors.checker.pieces import WHOLE, Explorer, Piece, add_up, plan
from kactors.checker.search import WALKS, Search, make_strategy
from kactors.checker.strategies.strategy import STEPS_MAX, Budget
from kactors.checker.subject import Subject
from kactors.observers.properties import PROPERTIES, all_properties, load_property
from kactors.sweep import worker_processes
from protocols.scenario import Scenario

AHEAD = 2
"""So many pieces a process are handed out before the first of them is awaited."""
POLL_S = 0.1


@dataclass(frozen=True)
class Job:
    """What is searched, and how: all that a process has to know.

    Attributes:
        scenario: what runs on what.
        properties: by which it is judged besides those that kactors has.
        strategy: its name.
        seed: of strategies that draw.
        steps_max: moves of one schedule.
        schedules_max: schedules; None: any number.
        until_s: instant of the monotonic clock, which all processes share, at which to stop; None: there is none.
        keep_going: look for all outcomes, also after a finding.
    """

    scenario: Scenario
    properties: tuple[str, ...] = ()
    strategy: str = "portfolio"
    seed: int = 1
    steps_max: int = STEPS_MAX
    schedules_max: int | None = None
    until_s: float | None = None
    keep_going: bool = False

    def subject(self, scenario: Scenario | None = None) -> Subject:
        """Return what is searched, with an empty memory; or another scenario, judged alike.

        Raises:
            UsageError: the scenario cannot be searched, or there is no such property.
        """
        names = [name for name in self.properties if name not in PROPERTIES]
        return Subject(
            self.scenario if scenario is None else scenario,
            properties=lambda: [*all_properties(), *map(load_property, names)],
        )


@dataclass
class Watch:
    """What the searching process is asked and told now and then.

    Attributes:
        stopped: the user has had enough.
        show: is told what is covered.
    """

    stopped: Callable[[], bool] = lambda: False
    show: Callable[[Covered], None] = lambda _covered: None


def search(job: Job, processes: int, watch: Watch) -> Covered:
    """Search, and return what was covered. Unless the time is up it is the same for any number of processes.

    Args:
        job: what is searched, and how.
        processes: how many; a strategy that remembers all that it has done has only use for one.
        watch: asked whether to stop, told how far it is.

    Raises:
        UsageError: the scenario cannot be searched.
    """
    if job.strategy in WHOLE:
        return _search_whole(job, watch)
    total = Covered()
    with ExitStack() as stack:
        parts = _parts(job, processes, watch, stack)
        for total in add_up(parts, job.schedules_max, keep_going=job.keep_going):
            watch.show(total)
    return total


def _search_whole(job: Job, watch: Watch) -> Covered:
    subject = job.subject()
    covered = Covered()

    def expired() -> bool:
        watch.show(replace(covered, schedules=made.schedules, steps=made.moves, states=subject.space.states))
        return watch.stopped() or _is_late(job.until_s)

    budget = Budget(job.schedules_max, job.steps_max, expired)
    made = make_strategy(job.strategy, subject, budget, job.seed)
    return Search(subject, made, job.seed).run(keep_going=job.keep_going).covered()


def _parts(job: Job, processes: int, watch: Watch, stack: ExitStack) -> Iterator[Covered]:
    """Yield the parts in the order of the pieces; processes of ours end with the stack."""
    explorer = _explorer(job, watch.stopped)
    pieces = plan(job.strategy, job.schedules_max)
    # What is found soon is found before another process has started.
    yield from map(explorer.explore, islice(pieces, 1))
    if processes == 1:
        yield from map(explorer.explore, pieces)
    else:
        yield from _share_out(job, pieces, processes, watch, stack)


def _share_out(job: Job, pieces: Iterator[Piece], processes: int, watch: Watch, stack: ExitStack) -> Iterator[Covered]:
    """Hand pieces out to processes: of a portfolio one goes on exhaustively, the others draw."""
    start = partial(worker_processes, preload=(__name__,), abandon=True)
    alone = job.strategy in WALKS
    drawing = stack.enter_context(start(processes if alone else processes - 1))
    steady = drawing if alone else stack.enter_context(start(1))
    under_way: deque[Future[Covered]] = deque()
    while True:
        for piece in islice(pieces, AHEAD * processes - len(under_way)):
            under_way.append((drawing if piece.walks else steady).submit(_explore, job, piece))
        if not under_way or not _arrives(under_way[0], watch):
            return
        yield under_way.popleft().result()


def _arrives(part: Future[Covered], watch: Watch) -> bool:
    """Wait for a part; return whether it came before the user had enough."""
    while not part.done():
        if watch.stopped():
            return False
        wait((part,), timeout=POLL_S)
    return True


def _explorer(job: Job, stopped: Callable[[], bool] = lambda: False) -> Explorer:
    budget = Budget(steps=job.steps_max, expired=lambda: stopped() or _is_late(job.until_s))
    return Explorer(job.subject, budget, job.seed, job.keep_going)


def _is_late(until_s: float | None) -> bool:
    return until_s is not None and time.monotonic() >= until_s


_explorers: dict[str, Explorer] = {}
"""Of a worker process, by job: the exhaustive search goes on in it."""


def _explore(job: Job, piece: Piece) -> Covered:
    """Explore a piece, in a worker process."""
    key = str(job)
    explorer = _explorers.get(key)
    if explorer is None:
        explorer = _explorers[key] = _explorer(job)
    return explorer.explore(piece)
