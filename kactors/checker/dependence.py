"""Which moves may change places: what each of them reads and writes.

Two moves are independent when no actor takes a message in both, or when a server takes messages that touch different
things of it, or only read them. What a message touches at a server is declared here; a class that is not named touches
all of the server, so a new message is never wrongly independent. ``tests/checker/test_dependence.py`` holds the
declarations against the actors themselves, in every state that searches come to.

What an observer judges is memory too: tracepoints that name the same page, frame, area, table or lock do not commute.
Of a user's own nobody knows what it relates: unless it declares that, nothing commutes of all that it hears.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, get_args

from pydantic.fields import FieldInfo

from kactors.checker.automata import Vocabulary
from kactors.checker.frozen import is_ours
from kactors.checker.space import STORES, Happening
from kactors.engine.observer import Observer
from protocols import allocation, mmap_sem, page_table, rcu, tlb, vma
from protocols.base import Message, Unit

READ: Final = 0
WRITE: Final = 1
COUNT: Final = 2
"""Adds to something: commutes with itself, but neither with reading nor with writing."""

Touch = tuple[Any, int]
"""(what, READ | WRITE | COUNT)."""

_READER: Final = (("mmap_sem", WRITE),)
_SEM: Final = (("mmap_sem", WRITE), ("mmap_seq", WRITE))
_LOOK: Final = (("tree", READ), ("vm_sequence", READ), ("vma flags", READ))
_CHANGE: Final = tuple((what, WRITE) for what in ("tree", "vm_sequence", "vma flags", "vm_ref_count", "vma locks"))
_REFERS: Final = ("vm_ref_count", READ)
"""Uses a VMA that is there as long as somebody has a reference."""
_PMD: Final = (("pmd", WRITE),)

TOUCHES: Final[dict[type[Message], tuple[Touch, ...]]] = {
    mmap_sem.DownRead: _READER,
    mmap_sem.DownWrite: _SEM,
    mmap_sem.RetryWrite: _SEM,
    mmap_sem.StopSpinning: _SEM,
    mmap_sem.UpRead: _SEM,
    # The per-VMA write locks end with it.
    mmap_sem.UpWrite: (*_SEM, ("vma locks", WRITE)),
    mmap_sem.DowngradeWrite: (*_SEM, ("vma locks", WRITE)),
    mmap_sem.OwnerSleeps: _SEM,
    mmap_sem.OwnerRuns: _READER,
    mmap_sem.ReadMmapSeq: (("mmap_seq", READ),),
    vma.FindVma: _LOOK,
    vma.GetVma: (*_LOOK, ("vm_ref_count", COUNT)),
    vma.PutVma: (("vm_ref_count", WRITE),),
    vma.ReadVma: (*_LOOK, _REFERS),
    vma.ReadSequence: (("vm_sequence", READ), ("tree", READ), _REFERS),
    vma.VmWriteBegin: (("vm_sequence", WRITE), _REFERS),
    vma.VmWriteEnd: (("vm_sequence", WRITE), _REFERS),
    vma.SetVmaFlags: (("vma flags", WRITE), _REFERS),
    vma.AnonVmaPrepare: (("vma flags", WRITE), _REFERS),
    vma.CopyVma: _LOOK,
    vma.VmaAtomic: (),
    vma.ReadTreeSeq: (("tree", READ),),
    vma.RefVma: (*_LOOK, ("vm_ref_count", COUNT)),
    rcu.SrcuReadLock: (("srcu", COUNT),),
    # What ends a grace period speaks to others too: it depends on all.
    vma.VmaStartRead: (*_LOOK, ("vma locks", WRITE)),
    vma.VmaEndRead: (("vma locks", WRITE), _REFERS),
    vma.VmLockTrylock: (*_LOOK, _REFERS, ("vma locks", WRITE)),
    vma.VmLockUpRead: (("vma locks", WRITE), _REFERS),
    vma.VmaStartWrite: (("tree", READ), ("vma locks", WRITE)),
    vma.MmapRegion: _CHANGE,
    vma.SplitRegion: _CHANGE,
    vma.DetachRegion: _CHANGE,
    vma.MergeRegion: _CHANGE,
    vma.AdjustDone: _CHANGE,
    vma.SpfEnter: (("speculations", WRITE),),
    vma.SpfExit: (("speculations", WRITE),),
    tlb.JoinMm: (("mm_cpumask", WRITE),),
    tlb.LeaveMm: (("mm_cpumask", WRITE),),
    tlb.FlushTlb: (("mm_cpumask", WRITE),),
    tlb.ReadCpumask: (("mm_cpumask", READ),),
    page_table.ReadPmd: (("pmd", READ),),
    page_table.PmdLock: (("pmd_lock", WRITE), ("pmd", READ)),
    # Whoever waits is let in by the release, and some change the entry at once.
    page_table.PmdUnlock: (("pmd_lock", WRITE), *_PMD),
    page_table.InstallTable: (("pmd_lock", WRITE), *_PMD),
    page_table.ClearPmd: _PMD,
    page_table.RestorePmd: _PMD,
    page_table.InstallHuge: _PMD,
    page_table.ZapHuge: _PMD,
    page_table.SplitHuge: _PMD,
    page_table.DetachTables: (("tree", READ), *_PMD),
    page_table.NextScanRange: (("tree", READ), ("vma flags", READ), ("pmd", READ)),
    page_table.ReadPte: (("pte", READ),),
    page_table.LockPte: (("pte_lock", WRITE), ("pte", READ)),
    page_table.TrylockPte: (("pte_lock", WRITE), ("pte", READ)),
    page_table.UnlockPte: (("pte_lock", WRITE), ("pte", READ)),
    page_table.SetPte: (("pte_lock", READ), ("pte", WRITE)),
    page_table.ZapPtes: (("pte_lock", READ), ("pte", WRITE)),
    page_table.ProtectPtes: (("pte_lock", READ), ("pte", WRITE)),
    page_table.ScanPtes: (("pte", READ),),
    page_table.FillTable: (("pte", WRITE),),
    allocation.SplitPage: (("zone", WRITE),),
}

ALL: Final = "all of it"
ASKED: Final = "what it has asked"
NAMED: Final = {
    "page frame number": "pfn",
    "virtual page number": "vpn",
    "page table number, -1 = none": "table",
    "first virtual address of a PMD, bytes": "pmd",
    "vma number": "vma",
}
"""Units of a tracepoint's fields that say which thing it is about."""


class Dependence:
    """Judges pairs of happenings.

    Args:
        vocabulary: what the numbers in happenings mean.
        clients: numbers of the actors that run threads.
        observers: who judges.
    """

    def __init__(self, vocabulary: Vocabulary, clients: Iterable[int], observers: Sequence[Observer]) -> None:
        self._vocabulary = vocabulary
        self._clients = frozenset(clients)
        self._observers = observers
        self._unknown = {number for number, observer in enumerate(observers) if not _declares(type(observer))}
        self._effects: dict[Any, int] = {}
        self._touches: list[dict[Any, int]] = []
        self._numbers: dict[frozenset[Touch], int] = {}
        self._judged: dict[tuple[int, int], bool] = {}

    def effect(self, happening: Happening) -> int:
        """Return a number for what a happening touches, to be judged by ``dependent``."""
        key = (happening.took, happening.told, happening.speaks, happening.channel)
        known = self._effects.get(key)
        if known is None:
            touches = frozenset(
                [*self._taking(happening.took), *self._telling(happening.told), *self._queueing(happening)]
            )
            known = self._numbers.setdefault(touches, len(self._touches))
            if known == len(self._touches):
                self._touches.append(_strongest(touches))
            self._effects[key] = known
        return known

    def dependent(self, one: int, other: int) -> bool:
        """Return whether two effects must keep their order."""
        known = self._judged.get((one, other))
        if known is None:
            mine, theirs = self._touches[one], self._touches[other]
            known = any(
                what in theirs and (how, theirs[what]) not in ((READ, READ), (COUNT, COUNT))
                for what, how in mine.items()
            )
            self._judged[one, other] = self._judged[other, one] = known
        return known

    def apart(self, effect: int, others: Iterable[int]) -> bool:
        """Return whether an effect depends on none of the others."""
        return not any(self.dependent(effect, other) for other in others)

    def _taking(self, took: tuple[tuple[int, int], ...]) -> Iterator[Touch]:
        for actor, item in took:
            message = self._vocabulary.items[item][2]
            if actor in self._clients:
                yield (actor, ALL), COUNT if isinstance(message, tlb.IpiAck) else WRITE
            elif (touches := TOUCHES.get(type(message))) is None:
                yield (actor, ALL), WRITE
            else:
                yield (actor, ALL), READ
                for what, how in touches:
                    yield (actor, what), how

    def _queueing(self, happening: Happening) -> Iterator[Touch]:
        """A handler of an interrupt speaks before what its thread has asked, as long as that has not been taken."""
        sender, receiver = happening.channel
        for actor, item in happening.took[:1]:
            if happening.speaks:
                yield (actor, ASKED), WRITE
            elif receiver == STORES and self._vocabulary.items[item][2].replies:
                yield (sender, ASKED), READ

    def _telling(self, told: tuple[int, ...]) -> Iterator[Touch]:
        for telling in told:
            for who, tracepoint in self._vocabulary.tellings[telling]:
                yield from judged_memory(who, tracepoint)
                for number, observer in enumerate(self._observers):
                    if number in self._unknown and type(tracepoint) in observer.tracepoints():
                        yield ("sum", number), WRITE
                    if type(tracepoint) in observer.adds:
                        yield ("sum", number), COUNT
                    if type(tracepoint) in observer.takes:
                        yield ("sum", number), READ


def _declares(kind: type[Observer]) -> bool:
    """Return whether it is known what an observer relates: it is one of kactors, or a user's that says so itself."""
    own = itertools.takewhile(lambda each: not is_ours(each), kind.__mro__)
    return is_ours(kind) or any(not vars(each).keys().isdisjoint(("adds", "takes")) for each in own)


def _strongest(touches: Iterable[Touch]) -> dict[Any, int]:
    """Return one mode for each thing: reading and counting it at once is writing it."""
    modes: dict[Any, int] = {}
    for what, how in touches:
        modes[what] = how if modes.get(what, how) == how else WRITE
    return modes


def judged_memory(who: str, tracepoint: Message) -> Iterator[Touch]:
    """Yield what observers may relate a tracepoint to; one that names nothing is about whoever tells it."""
    fields = tracepoint.__dict__
    if "lock" in fields:
        yield ("lock", fields["lock"]), WRITE if fields.get("write", True) else COUNT
        return
    named: list[tuple[str, Any]] = []
    for name, unit in _naming(type(tracepoint)):
        named += [(unit, number) for number in _numbers(fields[name])]
    if "register_name" in fields:
        named = [("register", fields["register_name"])]
    elif "first" in fields and "last" in fields:
        named = [("vpn", number) for number in range(fields["first"], fields["last"])]
    elif "order" in fields:
        named = [(unit, number + offset) for unit, number in named for offset in range(1 << fields["order"])]
    for thing in named or [("about", who)]:
        yield thing, WRITE


@functools.cache
def _naming(kind: type[Message]) -> tuple[tuple[str, str], ...]:
    """Return the fields that say what a tracepoint is about: (name, what it names)."""
    return tuple((name, unit) for name, field in kind.model_fields.items() if (unit := _unit(field)) is not None)


def _unit(field: FieldInfo) -> str | None:
    parts = [*field.metadata, *(part for inner in get_args(field.annotation) for part in get_args(inner))]
    return next((NAMED.get(part.name) for part in parts if isinstance(part, Unit)), None)


def _numbers(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,)
