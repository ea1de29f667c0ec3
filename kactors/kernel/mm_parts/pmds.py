"""PMD entries and pmd_lock: where page tables hang, and where khugepaged puts huge pages."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from kactors.engine.actor import Handler
from kactors.engine.waits import Holder
from kactors.kernel.cache_line import CacheLine
from kactors.kernel.lockdep import PMD_LOCK, tell_acquired, tell_needed, tell_released
from kactors.kernel.mm_parts.part import Host, Part, Who
from kactors.kernel.pte import within
from protocols.allocation import SplitPage
from protocols.base import Message
from protocols.page_table import (
    PMD_COLLAPSING,
    PMD_NONE,
    ClearPmd,
    DetachTables,
    FillTable,
    HugeZapped,
    InstallHuge,
    InstallTable,
    NextScanRange,
    Pmd,
    PmdLock,
    PmdState,
    PmdUnlock,
    ReadPmd,
    RestorePmd,
    ScanRange,
    SplitHuge,
    TableInstalled,
    TablesDetached,
    ZapHuge,
)
from protocols.set_up import AREA_SET_UP, AreaSetUp, SetUpArea, SetUpPtes
from protocols.tracepoints import PageMapped, PagesUnmapped, PmdChanged, TableMade

CLEARED = {PmdState.NONE: PMD_NONE, PmdState.COLLAPSING: PMD_COLLAPSING}
"""What a collapse may leave at a PMD."""


@dataclass(slots=True)
class _Entry:
    """One PMD entry with its lock. ``deposited`` is the page table kept behind a huge page."""

    line: CacheLine
    pmd: Pmd = PMD_NONE
    table: Any = None
    deposited: Any = None
    owner: Who | None = None
    since_ns: int = 0
    waiting: deque[tuple[Message, Any, int]] = field(default_factory=deque)


NO_RANGE = ScanRange(address=-1, vma_id=-1, table=-1)


class Pmds(Part):
    """All PMD entries of the mm, made when first touched."""

    def __init__(self, mm: Host, new_table: Callable[[int, int], Any], allocator: Any) -> None:
        super().__init__(mm)
        self._new_table = new_table
        self._allocator = allocator
        self._entries: dict[int, _Entry] = {}

    def handlers(self) -> dict[type[Message], Handler]:
        """Return the handlers of PMD reads, locks and changes."""
        return {
            ReadPmd: self._read,
            InstallTable: self._install_table,
            PmdLock: self._lock,
            PmdUnlock: self._unlock,
            ClearPmd: self._clear,
            RestorePmd: self._restore,
            InstallHuge: self._install_huge,
            ZapHuge: self._zap_huge,
            SplitHuge: self._split_huge,
            DetachTables: self._detach_tables,
            NextScanRange: self._next_scan_range,
            SetUpArea: self._set_up_area,
        }

    def holder(self, who: Who) -> Holder | None:
        """Name the owner of the pmd_lock that ``who`` waits for."""
        for index, entry in self._entries.items():
            if entry.owner is not None and any((client, tag) == who for _, client, tag in entry.waiting):
                client, tag = entry.owner
                at = index * self.machine.pmd_size
                return Holder(f"pmd_lock of {at:#x}", (client.node(tag),), entry.since_ns, "has not released it")
        return None

    def huge_pages(self) -> list[int]:
        """Return the first frame of every mapped huge page."""
        return [entry.pmd.pfn for entry in self._entries.values() if entry.pmd.state is PmdState.HUGE]

    def entries(self) -> dict[int, Pmd]:
        """Return the entries that have been touched, by the first address that each maps."""
        return {index * self.machine.pmd_size: entry.pmd for index, entry in self._entries.items()}

    def _entry(self, address: int) -> _Entry:
        index = address // self.machine.pmd_size
        entry = self._entries.get(index)
        if entry is None:
            entry = self._entries[index] = _Entry(CacheLine(self.machine))
        return entry

    def _base(self, address: int) -> int:
        return address // self.machine.pmd_size * self.machine.pmd_size

    def _set(self, address: int, entry: _Entry, pmd: Pmd, *, collapsing: bool = False) -> None:
        entry.pmd = pmd
        base = self._base(address)
        changed = PmdChanged(address=base, state=pmd.state, table=pmd.table, collapsing=collapsing)
        self.mm.engine.emit(self.now_ns, self.mm, changed)

    def _read(self, message: ReadPmd, client: Any, tag: int) -> None:
        entry = self._entry(message.address)
        self.mm.reply(entry.line.read(self.now_ns, client.cpu_id), client, tag, entry.pmd)

    def _lock(self, message: PmdLock, client: Any, tag: int) -> None:
        entry = self._entry(message.address)
        if entry.owner is not None:
            entry.waiting.append((message, client, tag))
            return
        entry.owner, entry.since_ns = (client, tag), self.now_ns
        tell_acquired(self.mm.engine, self.mm, PMD_LOCK, (client, tag), place=self._base(message.address))
        self.mm.reply(entry.line.write(self.now_ns, client.cpu_id), client, tag, entry.pmd)

    def _unlock(self, message: PmdUnlock, client: Any, tag: int) -> None:
        entry = self._entry(message.address)
        tell_released(self.mm.engine, self.mm, PMD_LOCK, (client, tag), place=self._base(message.address))
        if entry.owner != (client, tag):
            return
        entry.owner = None
        while entry.waiting and entry.owner is None:  # an InstallTable does not keep the lock
            waiting, next_client, next_tag = entry.waiting.popleft()
            self.handlers()[type(waiting)](waiting, next_client, next_tag)

    def _make_table(self, address: int, pfn: int) -> Any:
        table = self._new_table(self._base(address), pfn)
        if self.mm.engine.listens(TableMade):
            self.mm.engine.emit(self.now_ns, self.mm, TableMade(table=table.id, pfn=pfn))
        return table

    def _tell_unmapped(self, address: int, pfn: int) -> None:
        """The huge page leaves its PMD, to be freed or to be mapped by small pages."""
        if self.mm.engine.listens(PagesUnmapped):
            vpn = self._base(address) >> self.machine.page_shift
            unmapped = PagesUnmapped(pfns=(pfn,), vpns=(vpn,), order=self.machine.huge_order)
            self.mm.engine.emit(self.now_ns, self.mm, unmapped)

    def _must_hold(self, address: int, client: Any, tag: int, act: str) -> None:
        """Tell that the client changes an entry: it needs pmd_lock."""
        tell_needed(self.mm.engine, self.mm, PMD_LOCK, (client, tag), act, place=self._base(address))

    def _install_table(self, message: InstallTable, client: Any, tag: int) -> None:
        entry = self._entry(message.address)
        if entry.owner not in (None, (client, tag)):
            entry.waiting.append((message, client, tag))
            return
        done_ns = entry.line.write(self.now_ns, client.cpu_id)
        used = entry.pmd.state is PmdState.NONE
        if used:
            entry.table = self._make_table(message.address, message.pfn)
            self._set(message.address, entry, Pmd(state=PmdState.TABLE, table=entry.table.id, pfn=-1))
        self.mm.reply(done_ns, client, tag, TableInstalled(table=entry.pmd.table, used=used))

    def _clear(self, message: ClearPmd, client: Any, tag: int) -> None:
        self._must_hold(message.address, client, tag, "clears the PMD")
        self._set(message.address, self._entry(message.address), CLEARED[message.left], collapsing=True)

    def _restore(self, message: RestorePmd, client: Any, tag: int) -> None:
        self._must_hold(message.address, client, tag, "puts the PMD back")
        entry = self._entry(message.address)
        self._set(message.address, entry, Pmd(state=PmdState.TABLE, table=message.table, pfn=-1))

    def _install_huge(self, message: InstallHuge, client: Any, tag: int) -> None:
        self._must_hold(message.address, client, tag, "installs a huge PMD")
        entry = self._entry(message.address)
        if message.table_pfn >= 0:
            entry.table = self._make_table(message.address, message.table_pfn)
        entry.deposited, entry.table = entry.table, None
        self._set(message.address, entry, Pmd(state=PmdState.HUGE, table=-1, pfn=message.pfn))
        vpn = self._base(message.address) >> self.machine.page_shift
        mapped = PageMapped(pfn=message.pfn, vpn=vpn, order=self.machine.huge_order)
        self.mm.engine.emit(self.now_ns, self.mm, mapped)

    def _zap_huge(self, message: ZapHuge, client: Any, tag: int) -> None:
        self._must_hold(message.address, client, tag, "zaps the huge PMD")
        entry = self._entry(message.address)
        done_ns = entry.line.write(self.now_ns, client.cpu_id)
        table = entry.deposited
        zapped = HugeZapped(pfn=entry.pmd.pfn, table=-1 if table is None else table.id)
        if entry.pmd.state is PmdState.HUGE:
            self._tell_unmapped(message.address, entry.pmd.pfn)
        entry.deposited = None
        self._set(message.address, entry, PMD_NONE)
        self.mm.reply(done_ns, client, tag, zapped)

    def _split_huge(self, message: SplitHuge, client: Any, tag: int) -> None:
        """split_huge_pmd: the deposited table maps the huge page's frames one by one."""
        self._must_hold(message.address, client, tag, "splits the huge PMD")
        entry = self._entry(message.address)
        done_ns = entry.line.write(self.now_ns, client.cpu_id)
        if entry.pmd.state is PmdState.HUGE:
            pfn = entry.pmd.pfn
            entry.table, entry.deposited = entry.deposited, None
            engine = self.mm.engine
            self._tell_unmapped(message.address, pfn)
            # As writable as the huge PMD was: an mprotect that splits it protects its own part afterwards.
            engine.post(self.now_ns, entry.table, self.mm, FillTable(pfn=pfn, writable=True))
            engine.post(self.now_ns, self._allocator, self.mm, SplitPage(pfn=pfn, order=self.machine.huge_order))
            self._set(message.address, entry, Pmd(state=PmdState.TABLE, table=entry.table.id, pfn=-1))
        self.mm.reply(done_ns, client, tag, entry.pmd)

    def _detach_tables(self, message: DetachTables, client: Any, tag: int) -> None:
        size = self.machine.pmd_size
        indices = within(self._entries, message.start // size, (message.end - 1) // size + 1)
        locked = [self._entries[index] for index in indices if self._entries[index].owner]
        if locked:  # perhaps by a speculation that is about to hang a table there
            locked[0].waiting.append((message, client, tag))
            return
        tables: list[int] = []
        for index in indices:
            entry = self._entries[index]
            needed = bool(self.mm.tree.overlapping(index * size, (index + 1) * size))
            if needed or entry.pmd.state is not PmdState.TABLE:
                continue
            tables.append(entry.table.id)
            entry.table = None
            self._set(index * size, entry, PMD_NONE)
        done_ns = self.now_ns + self.machine.atomic_ns * (1 + len(tables))
        self.mm.reply(done_ns, client, tag, TablesDetached(tables=tuple(tables)))

    def _next_scan_range(self, message: NextScanRange, client: Any, tag: int) -> None:
        done_ns = self.now_ns + self.machine.find_vma_ns
        first = next((found for found in self.collapsible_ranges() if found.address > message.after), NO_RANGE)
        self.mm.reply(done_ns, client, tag, first)

    def collapsible_ranges(self) -> Iterator[ScanRange]:
        """Yield what a scan looks at: PMD ranges of MADV_HUGEPAGE areas that have a page table, by address."""
        size = self.machine.pmd_size
        for vma in self.mm.tree:
            for index in range(-(-vma.start // size), vma.end // size) if vma.hugepage else ():
                entry = self._entries.get(index)
                if entry is not None and entry.pmd.state is PmdState.TABLE:
                    yield ScanRange(address=index * size, vma_id=vma.vma_id, table=entry.pmd.table)

    def _set_up_area(self, message: SetUpArea, client: Any, tag: int) -> None:
        """Hang page tables where there are none yet, and have each filled; no time passes and no line moves."""
        machine = self.machine
        tables, pfns, address = list(message.tables), message.pfns, message.address
        vma = self.mm.tree.find(address)
        if vma is not None:
            vma.anon_vma = True
        while pfns:
            entry = self._entry(address)
            if entry.pmd.state is PmdState.NONE:
                entry.table = self._make_table(address, tables.pop())
                self._set(address, entry, Pmd(state=PmdState.TABLE, table=entry.table.id, pfn=-1))
            first = (address >> machine.page_shift) % machine.pmd_pages
            count = machine.pmd_pages - first
            fill = SetUpPtes(first=first, pfns=pfns[:count])
            self.mm.engine.post(self.now_ns, entry.table, self.mm, fill)
            pfns, address = pfns[count:], self._base(address) + machine.pmd_size
        self.mm.reply(self.now_ns, client, tag, AreaSetUp(unused=tuple(tables)) if tables else AREA_SET_UP)
