"""One page table: its lock and its PTEs.

Owns: the PTE lock (split lock: one a table) with its queue, the entries, the frame that holds the table.
Hears: reads without the lock, lock requests, writes by the lock's holder, the end of the table.
Says: values, grants, the frames that were cleared.
Never: looks at the PMD above it or at a VMA; knows what a fault is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, ClassVar

from kactors.engine.actor import Actor, Handler, Server
from kactors.engine.engine import Engine
from kactors.engine.event import Event
from kactors.engine.waits import Holder
from kactors.kernel.cache_line import CacheLine
from kactors.kernel.lockdep import PTE_LOCK, tell_acquired, tell_needed, tell_released
from kactors.kernel.pte import PTE_NONE, WRITE, ZERO_PFN, mk_pte, pte_pfn, within
from protocols.base import Message
from protocols.machine import Machine
from protocols.page_table import (
    PTE_LOCK_BUSY,
    FillTable,
    FreeTable,
    LockPte,
    MapPtes,
    ProtectPtes,
    Pte,
    PteLocked,
    PtesMapped,
    PtesProtected,
    PtesScanned,
    PtesZapped,
    ReadPte,
    ScanPtes,
    SetPte,
    TableFreed,
    TrylockPte,
    UnlockPte,
    ZapPtes,
)
from protocols.roles import heard_by, said_by
from protocols.set_up import SetUpPtes
from protocols.tracepoints import (
    LockAcquired,
    LockNeeded,
    LockReleased,
    PageMapped,
    PagesFound,
    PagesUnmapped,
    PteSet,
    TableDestroyed,
    TableTouched,
)

PTES_PER_LINE = 8


class Ptl(Server):
    """The actor of one page table.

    Args:
        engine: the machine's engine.
        machine: costs.
        pmd_address: first address that the table maps.
        pfn: the frame that holds the table.
    """

    role: ClassVar[str] = "ptl"
    hears: ClassVar[frozenset[type[Message]]] = heard_by("ptl")
    says: ClassVar[frozenset[type[Message]]] = said_by("ptl")

    def __init__(self, engine: Engine, machine: Machine, pmd_address: int, pfn: int) -> None:
        self.pmd_address = pmd_address
        self.pfn = pfn
        self._machine = machine
        self._vpn = pmd_address >> machine.page_shift
        self._entries: dict[int, int] = {}
        self._owner: tuple[Any, int] | None = None
        self._since_ns = 0
        self._waiting: deque[tuple[Any, int, int]] = deque()
        self._lock_line = CacheLine(machine)
        self._pte_lines: dict[int, CacheLine] = {}
        self.freed = False
        super().__init__(engine, f"ptl@{pmd_address:x}")

    def handlers(self) -> dict[type[Message], Handler]:
        """Return the handlers of lock, entries and table."""
        return {
            ReadPte: self._read,
            LockPte: self._lock,
            TrylockPte: self._trylock,
            UnlockPte: self._unlock,
            SetPte: self._set,
            ZapPtes: self._zap,
            MapPtes: self._map,
            ProtectPtes: self._protect,
            ScanPtes: self._scan,
            FillTable: self._fill,
            SetUpPtes: self._set_up,
            FreeTable: self._free,
        }

    def receive(self, event: Event) -> None:
        """Handle one delivery; one that comes after the table was freed is told to the observers."""
        if self.freed:
            touched = TableTouched(table=self.id, toucher=event[2].name, request=type(event[4]).__name__)
            self.engine.emit(event[0], self, touched)
        super().receive(event)

    def holder(self, client: Actor, tag: int) -> Holder | None:
        """Name the lock's owner when the client waits for it."""
        if self._owner is None or not any((who, its_tag) == (client, tag) for who, its_tag, _ in self._waiting):
            return None
        owner, owner_tag = self._owner
        return Holder(f"PTE lock of {self.name}", (owner.node(owner_tag),), self._since_ns, "has not unlocked it")

    def mapped(self) -> dict[int, int]:
        """Return the present entries by index, for reports and properties after a run."""
        return dict(self._entries)

    # --- the lock ----------------------------------------------------------------------------------------------------

    def _lock(self, message: LockPte, client: Any, tag: int) -> None:
        if self._owner is None:
            self._grant(client, tag, message.index)
        else:
            self._waiting.append((client, tag, message.index))

    def _trylock(self, message: TrylockPte, client: Any, tag: int) -> None:
        if self._owner is None:
            self._grant(client, tag, message.index)
        else:
            done_ns = self._lock_line.read(self.engine.now_ns, client.cpu_id)
            self.reply(done_ns, client, tag, PTE_LOCK_BUSY)

    def _grant(self, client: Any, tag: int, index: int) -> None:
        done_ns = self._lock_line.write(self.engine.now_ns, client.cpu_id)
        self._owner, self._since_ns = (client, tag), done_ns
        if self.engine.listens(LockAcquired):
            tell_acquired(self.engine, self, PTE_LOCK, (client, tag), place=self.id)
        self.reply(done_ns, client, tag, PteLocked(value=self._entries.get(index, PTE_NONE)))

    def _unlock(self, _: UnlockPte, client: Any, tag: int) -> None:
        if self.engine.listens(LockReleased):
            tell_released(self.engine, self, PTE_LOCK, (client, tag), place=self.id)
        if self._owner == (client, tag):
            self._owner = None
            if self._waiting:
                self._grant(*self._waiting.popleft())

    def _must_hold(self, client: Any, tag: int, act: str) -> None:
        """Tell that the client changes entries: it needs the lock, and nothing here stops it."""
        tell_needed(self.engine, self, PTE_LOCK, (client, tag), act, place=self.id)

    # --- the entries -------------------------------------------------------------------------------------------------

    def _line(self, index: int) -> CacheLine:
        line = self._pte_lines.get(index // PTES_PER_LINE)
        if line is None:
            line = self._pte_lines[index // PTES_PER_LINE] = CacheLine(self._machine)
        return line

    def _read(self, message: ReadPte, client: Any, tag: int) -> None:
        done_ns = self._line(message.index).read(self.engine.now_ns, client.cpu_id)
        self.reply(done_ns, client, tag, Pte(value=self._entries.get(message.index, PTE_NONE)))

    def _set(self, message: SetPte, client: Any, tag: int) -> None:
        if self.engine.listens(LockNeeded):
            self._must_hold(client, tag, "writes a PTE")
        now_ns, index, value = self.engine.now_ns, message.index, message.value
        self._line(index).write(now_ns, client.cpu_id)
        if self.engine.listens(PagesUnmapped):
            before = self._entries.get(index, PTE_NONE)
            gone = before != PTE_NONE and (value == PTE_NONE or pte_pfn(before) != pte_pfn(value))
            self._tell_unmapped({index: pte_pfn(before)} if gone else {})
        if value == PTE_NONE:
            self._entries.pop(index, None)
            return
        self._entries[index] = value
        self._tell_set(index, value)

    def _tell_set(self, index: int, value: int) -> None:
        engine, now_ns, vpn = self.engine, self.engine.now_ns, self._vpn + index
        if engine.listens(PteSet):
            written = PteSet(table=self.id, pmd_address=self.pmd_address, index=index, vpn=vpn, value=value)
            engine.emit(now_ns, self, written)
        if pte_pfn(value) != ZERO_PFN and engine.listens(PageMapped):
            engine.emit(now_ns, self, PageMapped(pfn=pte_pfn(value), vpn=vpn, order=0))

    def _zap(self, message: ZapPtes, client: Any, tag: int) -> None:
        self._must_hold(client, tag, "zaps PTEs")
        gone = within(self._entries, message.first, message.last)
        values = [self._entries.pop(index) for index in gone]
        pfns = tuple(pte_pfn(value) for value in values)
        if self.engine.listens(PagesUnmapped):
            self._tell_unmapped(dict(zip(gone, pfns, strict=True)))
        done_ns = self.engine.now_ns + self._machine.zap_pte_ns * len(gone)
        for index in gone[::PTES_PER_LINE]:
            done_ns = max(done_ns, self._line(index).write(self.engine.now_ns, client.cpu_id))
        written = tuple(pte_pfn(value) for value in values if value & WRITE)
        self.reply(done_ns, client, tag, PtesZapped(pfns=pfns, written=written))

    def _map(self, message: MapPtes, client: Any, tag: int) -> None:
        """Fault-around: what maps something already stays as it is."""
        self._must_hold(client, tag, "maps pages around a fault")
        done_ns = self.engine.now_ns
        free = [(index, value) for index, value in message.entries if index not in self._entries]
        for index, value in free:
            self._entries[index] = value
            self._tell_set(index, value)
        for index, _ in free[::PTES_PER_LINE]:
            done_ns = max(done_ns, self._line(index).write(self.engine.now_ns, client.cpu_id))
        self.reply(done_ns, client, tag, PtesMapped(indexes=tuple(index for index, _ in free)))

    def _tell_unmapped(self, frames: Mapping[int, int]) -> None:
        """Tell which frames have left the entries with these indexes; the zero page is nobody's."""
        own = {self._vpn + index: pfn for index, pfn in frames.items() if pfn != ZERO_PFN}
        if own:
            unmapped = PagesUnmapped(pfns=tuple(own.values()), vpns=tuple(own), order=0)
            self.engine.emit(self.engine.now_ns, self, unmapped)

    def _protect(self, message: ProtectPtes, client: Any, tag: int) -> None:
        self._must_hold(client, tag, "protects PTEs")
        changed = 0
        for index in within(self._entries, message.first, message.last):
            value = self._entries[index]
            if not message.writable and value & WRITE:
                self._entries[index] = value & ~WRITE
                changed += 1
        done_ns = self.engine.now_ns + self._machine.zap_pte_ns * changed
        self.reply(done_ns, client, tag, PtesProtected(changed=changed))

    def _scan(self, _: ScanPtes, client: Any, tag: int) -> None:
        done_ns = self.engine.now_ns + self._machine.zap_pte_ns * len(self._entries)
        self.reply(done_ns, client, tag, PtesScanned(entries=tuple(sorted(self._entries.items()))))

    def _fill(self, message: FillTable, client: Any, tag: int) -> None:
        del client, tag
        for index in range(self._machine.pmd_pages):
            self._entries[index] = mk_pte(message.pfn + index, write=message.writable)
            mapped = PageMapped(pfn=message.pfn + index, vpn=self._vpn + index, order=0)
            self.engine.emit(self.engine.now_ns, self, mapped)

    def _set_up(self, message: SetUpPtes, client: Any, tag: int) -> None:
        del client, tag
        first, pfns = message.first, message.pfns
        self._entries.update((index, mk_pte(pfn, write=True)) for index, pfn in enumerate(pfns, first))
        if self.engine.listens(PagesFound):
            self.engine.emit(self.engine.now_ns, self, PagesFound(first=self._vpn + first, pfns=pfns))

    def _free(self, _: FreeTable, client: Any, tag: int) -> None:
        if self.engine.listens(TableDestroyed):
            pfns = tuple(pfn for _, value in sorted(self._entries.items()) if (pfn := pte_pfn(value)) != ZERO_PFN)
            destroyed = TableDestroyed(table=self.id, pfn=self.pfn, who=client.name, pfns=pfns)
            self.engine.emit(self.engine.now_ns, self, destroyed)
        self.freed = True
        self.reply(self.engine.now_ns, client, tag, TableFreed(pfn=self.pfn))


class _EntryLock:
    """The lock of one entry."""

    __slots__ = ("line", "owner", "since_ns", "waiting")

    def __init__(self, line: CacheLine) -> None:
        self.owner: tuple[Any, int] | None = None
        self.since_ns = 0
        self.waiting: deque[tuple[Any, int]] = deque()
        self.line = line


class EntryLockedPtl(Ptl):
    """A page table in which each entry has a lock of its own (``pte_lock_scope``), to ask what sharing one costs.

    No kernel has it. Whoever locks a range locks its first entry only: right for programs whose threads keep to pages
    of their own, as those of ebizzy do.
    """

    def __init__(self, engine: Engine, machine: Machine, pmd_address: int, pfn: int) -> None:
        self._locks: dict[int, _EntryLock] = {}
        self._owned: dict[tuple[Any, int], int] = {}
        super().__init__(engine, machine, pmd_address, pfn)

    def holder(self, client: Actor, tag: int) -> Holder | None:
        """Name the owner of the entry's lock for which the client waits."""
        for index, lock in self._locks.items():
            if lock.owner is not None and (client, tag) in lock.waiting:
                owner, owner_tag = lock.owner
                name = f"lock of entry {index} of {self.name}"
                return Holder(name, (owner.node(owner_tag),), lock.since_ns, "has not unlocked it")
        return None

    def _lock_at(self, index: int) -> _EntryLock:
        lock = self._locks.get(index)
        if lock is None:
            lock = self._locks[index] = _EntryLock(CacheLine(self._machine))
        return lock

    def _lock(self, message: LockPte, client: Any, tag: int) -> None:
        lock = self._lock_at(message.index)
        if lock.owner is None:
            self._grant(client, tag, message.index)
        else:
            lock.waiting.append((client, tag))

    def _trylock(self, message: TrylockPte, client: Any, tag: int) -> None:
        lock = self._lock_at(message.index)
        if lock.owner is None:
            self._grant(client, tag, message.index)
        else:
            self.reply(lock.line.read(self.engine.now_ns, client.cpu_id), client, tag, PTE_LOCK_BUSY)

    def _grant(self, client: Any, tag: int, index: int) -> None:
        lock = self._lock_at(index)
        lock.since_ns = lock.line.write(self.engine.now_ns, client.cpu_id)
        lock.owner, self._owned[client, tag] = (client, tag), index
        tell_acquired(self.engine, self, PTE_LOCK, (client, tag), place=self._place(index))
        self.reply(lock.since_ns, client, tag, PteLocked(value=self._entries.get(index, PTE_NONE)))

    def _unlock(self, _: UnlockPte, client: Any, tag: int) -> None:
        index = self._owned.pop((client, tag), None)
        if index is None:
            return
        tell_released(self.engine, self, PTE_LOCK, (client, tag), place=self._place(index))
        lock = self._lock_at(index)
        lock.owner = None
        if lock.waiting:
            self._grant(*lock.waiting.popleft(), index)

    def _must_hold(self, client: Any, tag: int, act: str) -> None:
        """A lock of any entry will do: which ones a range needs is not told."""
        if (client, tag) in self._owned:
            place = self._place(self._owned[client, tag])
            tell_needed(self.engine, self, PTE_LOCK, (client, tag), act, place=place)

    def _place(self, index: int) -> int:
        return self.id * self._machine.pmd_pages + index
