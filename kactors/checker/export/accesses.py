"""What each CPU of a schedule does to shared memory, in its program order, with the values that it met.

The variables are the words that faults and writers synchronise on; what a message changes of them is seen by looking at
the mm and the page tables before and after, so nothing that a handler does is declared here. Only what a message reads
is. The order of a column is that in which the CPU says things, which is not that in which they take effect.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from kactors.checker.bench import Bench
from kactors.checker.origin import Origin
from kactors.checker.rerun import Delivery, Rerun, rerun
from kactors.checker.space import CLIENT_ROLES, Move
from kactors.checker.subject import Subject
from kactors.kernel.pte import PTE_NONE
from kactors.system import System
from protocols.base import Message
from protocols.mmap_sem import DownRead, DownWrite, RetryWrite, UpRead, UpWrite
from protocols.page_table import (
    PMD_NONE,
    LockPte,
    PmdLock,
    PmdUnlock,
    PteLocked,
    ReadPmd,
    ReadPte,
    ScanPtes,
    TrylockPte,
)
from protocols.scheduling import Granted, MustSleep, Retry
from protocols.tlb import IpiAck
from protocols.vma import (
    AdjustDone,
    DetachRegion,
    MergeRegion,
    MmapRegion,
    ReadSequence,
    SplitRegion,
    VmaFound,
    VmaRead,
    VmaStartRead,
    VmaWalked,
)

TREE_CHANGES = (MmapRegion, DetachRegion, SplitRegion, MergeRegion)

Memory = dict[str, int]
"""Values by the variable's name. What is not there is 0."""


@dataclass
class Access:
    """One message that a CPU says, and what becomes of it.

    Attributes:
        says: the message.
        to: the receiver's name.
        place: where a lock is or an IPI goes: part of its name.
        reads: (variable, value), in order.
        writes: (variable, value), when it took effect.
        completes: (variable, value) of a tree change: when that was complete.
        answer: what came back; None when nothing did.
        taken: it has been delivered.
    """

    says: Message
    to: str
    place: str
    reads: list[tuple[str, int]] = field(default_factory=list)
    writes: list[tuple[str, int]] = field(default_factory=list)
    completes: list[tuple[str, int]] = field(default_factory=list)
    answer: Message | None = None
    taken: bool = False

    @property
    def waits(self) -> bool:
        """Whether it was asked and never answered."""
        return self.taken and bool(type(self.says).replies) and isinstance(self.answer, (type(None), MustSleep))


@dataclass
class Accesses:
    """A schedule as programs.

    Attributes:
        columns: by the name of the CPU or khugepaged.
        first: the memory when the workers start.
        last: the memory at the end.
        read_together: what several held as readers at one time.
    """

    columns: dict[str, list[Access]] = field(default_factory=dict)
    first: Memory = field(default_factory=dict)
    last: Memory = field(default_factory=dict)
    read_together: set[str] = field(default_factory=set)


def accesses(subject: Subject, moves: Sequence[Move]) -> tuple[Accesses, Rerun]:
    """Run a schedule by the real actors and take down what it does to memory."""
    recorder = _Recorder()

    def set_up(bench: Bench) -> Origin:
        origin = subject.set_up(bench)
        recorder.begin(origin)
        return origin

    again = rerun(subject.space, moves, set_up, recorder.look)
    recorder.found.last = recorder.memory
    return recorder.found, again


def memory_of(system: System) -> dict[str, Any]:
    """Return the variables as they are: sequence counts and flags as numbers, PMDs and PTEs as they stand."""
    mm = system.mm
    memory: dict[str, Any] = {}
    for vma in mm.vmas.areas():
        memory[f"vma{vma.vma_id}_sequence"] = vma.sequence
        memory[f"vma{vma.vma_id}_attached"] = int(vma.attached)
        memory[f"vma{vma.vma_id}_locked"] = int(vma.locked_at == mm.lock_sequence)
        memory[f"vma{vma.vma_id}_readers"] = vma.readers
    for address, pmd in mm.pmds.entries().items():
        memory[_pmd(address, system.machine.pmd_size)] = pmd
    for table in system.ptls():
        for index, value in table.mapped().items():
            memory[f"pte{index}_of_{table.id}"] = value
    return memory


def _pmd(address: int, pmd_size: int) -> str:
    return f"pmd{address // pmd_size % 512}"


class _Recorder:
    """Looks at the machine after each delivery."""

    def __init__(self) -> None:
        self.found = Accesses()
        self.memory: Memory = {}
        self._codes: dict[str, list[Any]] = {}
        self._doing: Access | None = None
        self._changing: Access | None = None
        self._holders: set[str] = set()

    def begin(self, origin: Origin) -> None:
        self.memory = self.found.first = self._coded(memory_of(origin.system))

    def look(self, delivery: Delivery, origin: Origin) -> None:
        """Take down one delivery: what it changed, what it answers, and what its receiver said next."""
        access = self._untaken(delivery) if delivery.sender in self.found.columns else None
        if access is not None:
            access.taken = True
            access.reads = [(name, self.memory.get(name, 0)) for name in self._reads(access, origin)]
            self._doing = access
            if isinstance(access.says, (UpRead, UpWrite)):
                self._holders.discard(delivery.sender)
            self._changing = access if isinstance(access.says, TREE_CHANGES) else self._changing
        now = self._coded(memory_of(origin.system))
        changed = sorted(name for name in now | self.memory if now.get(name, 0) != self.memory.get(name, 0))
        completes = isinstance(delivery.message, AdjustDone)
        if (doing := self._changing if completes else self._doing) is not None:
            (doing.completes if completes else doing.writes).extend((name, now.get(name, 0)) for name in changed)
        self.memory = now
        self._answered(delivery)
        self._said(origin)

    def _untaken(self, delivery: Delivery) -> Access | None:
        column = self.found.columns[delivery.sender]
        return next(
            (it for it in column if not it.taken and (it.to, it.says) == (delivery.receiver, delivery.message)), None
        )

    def _answered(self, delivery: Delivery) -> None:
        """Give a CPU's request its answer; a wake-up is the answer to what had to sleep."""
        for access in reversed(self.found.columns.get(delivery.receiver, ())):
            replies, message = type(access.says).replies, delivery.message
            if not (access.taken and replies) or (isinstance(message, IpiAck) and access.to != delivery.sender):
                continue
            if access.answer is not None and not isinstance(access.answer, MustSleep):
                return
            if type(message).__name__ in replies or isinstance(message, (Granted, Retry)):
                access.answer = message
                self._holds(delivery.receiver, access)
                access.reads += [(name, self._code(name, value)) for name, value in _told(access, message)]
            return

    def _holds(self, who: str, access: Access) -> None:
        if isinstance(access.says, (DownRead, DownWrite, RetryWrite)) and not isinstance(
            access.answer, (MustSleep, Retry)
        ):
            self._holders.add(who)
            if len(self._holders) > 1:
                self.found.read_together.add("mmap_sem")

    def _said(self, origin: Origin) -> None:
        """Put what was said into the speakers' columns; an interrupt's handler before an instruction that waits."""
        for receiver, sender, _, message in origin.bench.posts:
            if sender.role not in CLIENT_ROLES or receiver is sender:
                continue
            column = self.found.columns.setdefault(sender.name, [])
            access = Access(message, receiver.name, _place(receiver, message, origin.system))
            not_yet = isinstance(message, IpiAck) and column and not column[-1].taken and type(column[-1].says).replies
            column.insert(len(column) - 1 if not_yet else len(column), access)

    def _reads(self, access: Access, origin: Origin) -> Iterator[str]:
        """Yield what a message reads that its answer does not tell."""
        message = access.says
        if isinstance(message, ReadSequence):
            yield from (f"vma{message.vma_id}_attached", f"vma{message.vma_id}_sequence")
        elif isinstance(message, (ReadPmd, PmdLock)):
            yield _pmd(message.address, origin.system.machine.pmd_size)
        elif isinstance(message, ReadPte):
            yield f"pte{message.index}_of_{access.place}"
        elif isinstance(message, ScanPtes):
            names = {*self.memory, *self.found.first}
            yield from sorted(name for name in names if name.endswith(f"_of_{access.place}"))
        elif isinstance(message, VmaStartRead):
            yield from (f"vma{message.vma_id}_attached", f"vma{message.vma_id}_locked")

    # --- values ------------------------------------------------------------------------------------------------------

    def _coded(self, memory: dict[str, Any]) -> Memory:
        return {name: code for name, value in memory.items() if (code := self._code(name, value))}

    def _code(self, name: str, value: Any) -> int:
        """Return a small number for a value: a count is itself, none is 0, others are numbered as they are met."""
        if name.startswith("vma"):
            return int(value)
        if value in (PMD_NONE, PTE_NONE):
            return 0
        met = self._codes.setdefault(name, [])
        if value not in met:
            met.append(value)
        return met.index(value) + 1


def _told(access: Access, answer: Message) -> Iterator[tuple[str, Any]]:
    """Yield what an answer tells of memory as it was when the request took effect."""
    message = access.says
    if isinstance(message, (LockPte, TrylockPte)) and isinstance(answer, PteLocked):
        yield f"pte{message.index}_of_{access.place}", answer.value
    elif isinstance(answer, (VmaFound, VmaWalked, VmaRead)) and (vma := answer.vma) is not None:
        yield f"vma{vma.vma_id}_attached", int(not isinstance(answer, VmaRead) or answer.attached)
        yield f"vma{vma.vma_id}_sequence", vma.sequence


def _place(receiver: Any, message: Message, system: System) -> str:
    """Return what tells this lock or table from others of its kind."""
    if isinstance(message, (PmdLock, PmdUnlock)):
        return _pmd(message.address, system.machine.pmd_size)
    return str(receiver.id) if receiver.role == "ptl" else ""
