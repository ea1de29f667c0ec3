"""Searches, in this process or in several: who explores which piece, and for how long."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import islice

from kactors.checker.covered import Covered
from kactors.checker.job import Job, Searching, Watch
from kactors.checker.pieces import WHOLE, Explorer, Piece, add_up, plan
from kactors.checker.search import WALKS
from kactors.checker.slices import finish
from kactors.sweep import worker_processes

AHEAD = 2
"""So many pieces a process are handed out before the first of them is awaited."""
POLL_S = 0.1


def search(job: Job, processes: int, watch: Watch) -> Covered:
    """Search, and return what was covered. Unless the time is up it is the same for any number of processes.

    Args:
        job: what is searched, and how.
        processes: how many; a strategy that remembers all that it has done has only use for one.
        watch: asked whether to stop, told how far it is.

    Raises:
        UsageError: the scenario cannot be searched.
    """
    if processes == 1 or job.strategy in WHOLE:
        return finish(Searching(job, replace(watch, stopped=lambda: watch.stopped() or _is_late(job.until_s))).slices())
    total = Covered()
    with ExitStack() as stack:
        parts = _parts(job, processes, watch, stack)
        for total in add_up(parts, job.schedules_max, keep_going=job.keep_going):
            watch.show(total)
    return total


def _parts(job: Job, processes: int, watch: Watch, stack: ExitStack) -> Iterator[Covered]:
    """Yield the parts in the order of the pieces; processes of ours end with the stack."""
    explorer = _explorer(job, watch.stopped)
    pieces = plan(job.strategy, job.schedules_max)
    # What is found soon is found before another process has started.
    yield from map(explorer.explore, islice(pieces, 1))
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
    return job.explorer(lambda: stopped() or _is_late(job.until_s))


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
