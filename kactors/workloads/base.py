"""What a workload is: how many threads, what the first one sets up, what each of the others does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel

from kactors.syscalls import UserThread
from protocols.machine import Machine


class Workload(ABC):
    """One program. Thread 0 is its main thread: it sets up and starts the workers, which are numbered from 1.

    Attributes:
        name: as on the command line.
        unit: what ``record_done`` counts.
        options_type: the model of its options, None when it has none.
        at_once: the workers leave the start barrier at the same instant.
        interchangeable: all workers run one program, so exchanging two of them changes nothing but their numbers. What
            they note, they note under the same names.
        pinned: each thread is bound to its CPU (sched_setaffinity).
        costs: what it needs of the machine's profile, unless the scenario says otherwise.
    """

    name: ClassVar[str]
    unit: ClassVar[str] = "records"
    at_once: ClassVar[bool] = False
    interchangeable: ClassVar[bool] = False
    pinned: ClassVar[bool] = False
    options_type: ClassVar[type[BaseModel] | None] = None
    costs: ClassVar[Mapping[str, int]] = {}

    @classmethod
    @abstractmethod
    def from_options(cls, options: Mapping[str, Any]) -> Workload:
        """Build it from a scenario's options.

        Raises:
            UsageError: an unknown option, or a value out of range.
        """

    @classmethod
    def endless(cls, options: Mapping[str, Any]) -> bool:
        """Return whether workers with these options, be they valid or not, never return: a run needs another end."""
        del options
        return False

    @abstractmethod
    def workers(self, cpus: int) -> int:
        """Return how many workers run when the scenario does not say."""

    def children(self, workers: int) -> int:
        """Return how many threads the workers start themselves; their numbers follow the workers'."""
        del workers
        return 0

    def home(self, number: int, machine: Machine) -> int:
        """Return the CPU of worker ``number`` (1, 2, ...): all CPUs in turn, as the machine places threads."""
        return machine.cpu_of(number - 1)

    def process(self, number: int) -> int:
        """Return the process of worker ``number``: 0 is that of the main thread, any other has but one thread."""
        del number
        return 0

    def round_records(self, machine: Machine) -> int:
        """Return how many units of its count a worker does before it begins anew; a rate takes rounds to show."""
        del machine
        return 1

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """What the main thread does before it starts the workers."""

    @abstractmethod
    async def work(self, thread: UserThread) -> None:
        """What worker (or child) ``thread.number`` (1, 2, ...) does; returning ends the thread."""

    def collapses(self) -> Sequence[int]:
        """Return addresses whose PMD ranges khugepaged is told to collapse, once each, while the workers run."""
        return ()

    def notes(self) -> list[str]:
        """Return what a reader of the result should know."""
        return []
