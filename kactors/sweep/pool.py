"""Runs scenarios in parallel processes. A run depends on its scenario alone, so where it runs does not matter."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import forkserver
from typing import TypeVar

from kactors.engine.errors import ActorCrash, UsageError
from kactors.run import Machine
from kactors.user_file import blamed
from protocols.result import Result
from protocols.scenario import Scenario

OnDone = Callable[[int, Result], None]
"""(place of the scenario, its result), as each run ends."""

Outcome = TypeVar("Outcome")

PARENT_GONE = 1


@dataclass(frozen=True)
class Crashed:
    """An ActorCrash on its way between processes: its four arguments are not what pickle would hand to it."""

    actor: str
    message: str
    at_ns: int
    story: tuple[str, ...]
    cause: str
    blame: str | None


def run_all(
    scenarios: Sequence[Scenario],
    *,
    workers: int | None = None,
    properties: bool = True,
    on_done: OnDone | None = None,
) -> list[Result]:
    """Run each scenario and return the results in the same order.

    Args:
        scenarios: what to run; they start in this order.
        workers: processes, by default (and at most) one a CPU; with one, the runs happen in this process.
        properties: stop as a violation when an interleaving breaks a property.
        on_done: called in this process as each run ends.

    The processes import the program's main module: a script that calls this needs ``if __name__ == "__main__":``.

    Raises:
        UsageError: a scenario names something that does not exist; the other runs are abandoned.
        ActorCrash: an actor raised: an internal bug.
    """
    work = partial(_run, properties=properties)
    return do_all([partial(work, scenario) for scenario in scenarios], workers=workers, on_done=on_done)


def do_all(
    jobs: Sequence[Callable[[], Outcome]],
    *,
    workers: int | None = None,
    preload: Sequence[str] = ("kactors.run",),
    on_done: Callable[[int, Outcome], None] | None = None,
) -> list[Outcome]:
    """Do each job and return what they came to in the same order.

    Args:
        jobs: what to do, which pickle must know; they start in this order, so the longest should come first.
        workers: processes, by default (and at most) one a CPU; with one, the jobs are done in this process.
        preload: modules that the processes have from the start.
        on_done: called in this process, with the place of the job and what it came to, as each one ends.

    Raises:
        UsageError: a job's; the others are abandoned.
        ActorCrash: likewise.
    """
    count = processes(workers, len(jobs))
    done: dict[int, Outcome] = {}
    for place, outcome in _inline(jobs) if count <= 1 else _parallel(jobs, count, preload):
        done[place] = outcome
        if on_done is not None:
            on_done(place, outcome)
    return [done[place] for place in range(len(jobs))]


def processes(workers: int | None, runs: int) -> int:
    """Return how many processes are worth their while for so many runs; with one, the caller's own does."""
    cpus = os.cpu_count() or 1
    return min(workers or cpus, cpus, runs)


def _inline(jobs: Sequence[Callable[[], Outcome]]) -> Iterator[tuple[int, Outcome]]:
    for place, job in enumerate(jobs):
        yield place, job()


def _parallel(
    jobs: Sequence[Callable[[], Outcome]], workers: int, preload: Sequence[str]
) -> Iterator[tuple[int, Outcome]]:
    with worker_processes(workers, preload=preload) as pool:
        places = {pool.submit(guarded, job): place for place, job in enumerate(jobs)}
        for future in as_completed(places):
            yield places[future], landed(future.result())


@contextmanager
def worker_processes(
    workers: int, *, preload: Sequence[str] = ("kactors.run",), abandon: bool = False
) -> Iterator[ProcessPoolExecutor]:
    """A pool whose processes end at once when the caller fails or is interrupted: a run takes seconds.

    Args:
        workers: processes.
        preload: modules that the processes have from the start; those of the first pool count.
        abandon: end what is still under way when the caller has done, too.
    """
    # Not fork: the caller may have threads, whose locks a forked child would inherit as they are. The server imports
    # the simulator once, so that starting a worker costs no import.
    context = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
    if os.name == "posix":
        context.set_forkserver_preload(list(preload))
        _start_server()
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_enter)
    try:
        yield pool
    except BaseException:
        _abandon(pool, others)
        raise
    if abandon:
        _abandon(pool, others)
    else:
        pool.shutdown()


def _start_server() -> None:
    """Start the fork server deaf to Ctrl-C: it would die of it while it imports, and the pool with it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _abandon(pool: ProcessPoolExecutor, others: set[multiprocessing.process.BaseProcess]) -> None:
    pool.shutdown(wait=False, cancel_futures=True)
    for child in set(multiprocessing.active_children()) - others:
        child.terminate()


def _enter() -> None:
    """What a worker does first: leave Ctrl-C to the parent, and end when the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Killed, the parent cannot tell its workers; they would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(PARENT_GONE)


def _run(scenario: Scenario, *, properties: bool) -> Result:
    machine = Machine(scenario, properties=properties)
    try:
        return machine.run()
    finally:
        # After a crash or Ctrl-C, Python would complain of every thread that had not begun.
        machine.system.close()


def guarded(work: Callable[[], Outcome]) -> Outcome | Crashed:
    """Do ``work`` in a worker process; a crash of the model comes back as a value, for ``landed`` to raise."""
    try:
        return work()
    except ActorCrash as crash:
        cause = f"{type(crash.__cause__).__name__}: {crash.__cause__}"
        return Crashed(crash.actor, crash.message, crash.at_ns, crash.story, cause, blamed(crash))


def landed(outcome: Outcome | Crashed) -> Outcome:
    """Return what a worker's run came to.

    Raises:
        ActorCrash: it crashed.
    """
    if isinstance(outcome, Crashed):
        crash = ActorCrash(outcome.actor, outcome.message, outcome.at_ns, outcome.story)
        blame = outcome.blame
        raise crash from UsageError(blame) if blame else RuntimeError(f"in a worker process: {outcome.cause}")
    return outcome
