"""Which threads belong together, and which process a recording is about."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from kactors.recordings.errors import RecordingError
from kactors.recordings.event_names import LOCK_EVENTS, Role, role_of
from kactors.recordings.fields import mm_of
from kactors.recordings.perf_script import PerfEvent

_SHOWN = 8
"""Candidates that an error names."""


@dataclass(frozen=True, slots=True)
class RecordedProcess:
    """A process of a recording: its threads, its page faults and memory calls, and the address of its mm_struct.

    `pid` is the process id; in a layout without pids it is the smallest of its thread ids that were seen. `comm` is the
    name of the thread with that id, else of its busiest one. `mm` is None if no mmap_lock event tells. `pid_recorded`:
    the layout has pids.
    """

    pid: int
    pid_recorded: bool
    comm: str
    tids: frozenset[int]
    faults: int
    calls: int
    mm: int | None


@dataclass(slots=True)
class _Task:
    tid: int
    pid: int | None
    comm: str = ""
    faults: int = 0
    calls: int = 0
    mms: Counter[int] = field(default_factory=Counter)

    @property
    def mm(self) -> int | None:
        # The most frequent one: a fork and an exec take the locks of two address spaces. Of equals the last, for the
        # same reason: an exec leaves the first one behind.
        return max(reversed(self.mms), key=self.mms.__getitem__, default=None)


def processes(events: Iterable[PerfEvent]) -> list[RecordedProcess]:
    """The processes that take a fault or make a memory call, the one with most faults first.

    In a layout without pids, the threads of one mm are a process. A thread that shows no mmap_lock event goes to the
    process with most threads of its name, or else makes one with those of its name.
    """
    active = [task for task in _tasks(events).values() if (task.faults or task.calls) and task.tid > 0]
    groups: dict[tuple[str, int | str | None], list[_Task]] = defaultdict(list)
    for task in active:
        if task.pid is not None:
            groups["pid", task.pid].append(task)
        elif task.mm is not None:
            groups["mm", task.mm].append(task)
    nameless = [task for task in active if task.pid is None and task.mm is None]
    homes = {comm: _home(comm, groups) for comm in {task.comm for task in nameless}}
    for task in nameless:
        groups[homes[task.comm]].append(task)
    found = [_process(tasks) for tasks in groups.values()]
    return sorted(found, key=lambda process: (-process.faults, -process.calls, process.pid))


def chosen(found: list[RecordedProcess], pid: int | None, source: str) -> RecordedProcess:
    """The process `pid`, or for None the first of `found`; in a layout without pids, any thread's id names a process.

    Raises RecordingError if there is no such process, and names those that there are.
    """
    if not found:
        right = "record exceptions:page_fault_user and syscalls:sys_{enter,exit}_{mmap,munmap,mprotect,madvise,brk}"
        raise RecordingError.at(source, "no page fault and no memory call in it", right)
    for process in found:
        if pid is None or pid == process.pid or (pid in process.tids and not process.pid_recorded):
            return process
    names = ", ".join(f"{process.pid} ({process.comm}, {process.faults} faults)" for process in found[:_SHOWN])
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    wrong = f"no process {pid} with page faults or memory calls in it"
    raise RecordingError.at(source, wrong, f"there are {names}{more}")


def _tasks(events: Iterable[PerfEvent]) -> dict[int, _Task]:
    tasks: dict[int, _Task] = {}
    for event in events:
        task = tasks.get(event.tid)
        if task is None:
            task = tasks[event.tid] = _Task(event.tid, event.pid)
        task.comm = event.comm
        role = role_of(event.event)
        if role is Role.FAULT:
            task.faults += 1
        elif role is Role.ENTER:
            task.calls += 1
        elif event.event in LOCK_EVENTS:
            mm = mm_of(event.args)
            if mm is not None:
                task.mms[mm] += 1
    return tasks


def _home(comm: str, groups: dict[tuple[str, int | str | None], list[_Task]]) -> tuple[str, int | str | None]:
    """The group with most threads named `comm`; of equals the one with the smallest tid."""

    def rank(key: tuple[str, int | str | None]) -> tuple[int, int]:
        same = [task.tid for task in groups[key] if task.comm == comm]
        return -len(same), min(same, default=0)

    best = min((key for key in groups if key[0] == "mm"), key=rank, default=None)
    return best if best is not None and rank(best)[0] < 0 else ("comm", comm)


def _process(tasks: list[_Task]) -> RecordedProcess:
    tids = frozenset(task.tid for task in tasks)
    pid = tasks[0].pid if tasks[0].pid is not None else min(tids)
    leader = next((task for task in tasks if task.tid == pid), None)
    busiest = leader or max(tasks, key=lambda task: (task.faults + task.calls, -task.tid))
    mms: Counter[int] = Counter()
    for task in tasks:
        mms.update(task.mms)
    return RecordedProcess(
        pid,
        tasks[0].pid is not None,
        busiest.comm,
        tids,
        sum(task.faults for task in tasks),
        sum(task.calls for task in tasks),
        max(reversed(mms), key=mms.__getitem__, default=None),
    )
