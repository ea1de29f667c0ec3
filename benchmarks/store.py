"""Commits a second of the service's store, each on the disk: ``python -m benchmarks.store [--quick] [FOLDER]``.

A change is what a client's command costs: an entry of the log and where the session stands then. The store is made in
FOLDER (here, if none is named), and taken away again; what a flush alone costs there is measured beside it. Time is
wall-clock time, since waiting for the disk is what is measured. A figure is the median of five rounds.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from kactors.service.store import Advance, AppendEntry, Create, SessionRecord, Store, Write
from protocols.scenario import Scenario
from protocols.service.commands import Entry, Inject, InjectFault, Position
from protocols.service.sessions import State

ROUNDS = 5
CHANGES = 1000
SESSIONS = 50
GROUP_SIZES = (1, 50)


def position(events: int) -> Position:
    return Position(events=events, now_ns=10 * events, fingerprint=f"{events:016x}")


def opened(path: Path) -> Store:
    store = Store.open(path)
    for number in range(SESSIONS):
        record = SessionRecord(
            session=f"s{number}",
            client="benchmark",
            scenario=Scenario(),
            build="",
            created_at=time.time(),
            position=position(0),
        )
        store.commit([[Create(record)]])
    return store


def change(number: int) -> list[Write]:
    """The number-th change: the sessions take turns."""
    place, session = divmod(number, SESSIONS)
    at = position(number)
    return [
        AppendEntry(f"s{session}", place, Entry(at=at, command=Inject(injection=InjectFault(cpu=1, address=4096)))),
        Advance(f"s{session}", place + 1, at, State.PAUSED, None, None, None, None, 0),
    ]


def commit_all(store: Store, changes: int, size: int) -> None:
    for first in range(0, changes, size):
        errors = store.commit([change(number) for number in range(first, first + size)])
        if any(errors):
            sys.exit(f"a commit failed: {errors}")


def flush_all(folder: Path, flushes: int) -> None:
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(flushes):
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())


def seconds(work: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    work()
    return time.perf_counter() - began_s


def commit_s(folder: Path, changes: int, size: int) -> float:
    path = folder / "sessions.db"
    store = opened(path)
    try:
        return seconds(lambda: commit_all(store, changes, size))
    finally:
        store.close()
        path.unlink()


def measure(folder: Path, rounds: int, changes: int) -> list[str]:
    flush_s = median(seconds(lambda: flush_all(folder, changes)) for _ in range(rounds)) / changes
    lines = [f"{'changes a commit':>16} {'commits/s':>10} {'changes/s':>10} {'ms/commit':>10}"]
    for size in GROUP_SIZES:
        commits = changes // size
        each_s = median(commit_s(folder, changes, size) for _ in range(rounds)) / commits
        lines.append(f"{size:16} {1 / each_s:10,.0f} {size / each_s:10,.0f} {1000 * each_s:10.2f}")
    return [*lines, "", f"4 KiB and fsync alone: {1000 * flush_s:.2f} ms"]


def main(arguments: list[str]) -> None:
    quick = "--quick" in arguments
    folders = [argument for argument in arguments if argument != "--quick"]
    if len(folders) > 1 or any(folder.startswith("-") for folder in folders):
        sys.exit("usage: python -m benchmarks.store [--quick] [FOLDER]")
    with tempfile.TemporaryDirectory(dir=folders[0] if folders else ".") as folder:
        print("\n".join(measure(Path(folder), *((1, 100) if quick else (ROUNDS, CHANGES)))))


if __name__ == "__main__":
    main(sys.argv[1:])
