"""What must hold of every machine that ran to quiescence: for tests of whatever runs on it."""

from collections import Counter

from kactors.kernel.accounting import Spent
from kactors.kernel.pte import ZERO_PFN, allows, pte_pfn, pte_write
from protocols.page_table import PmdState


def assert_settled(machine):
    """Nobody waits, every page has one place, and no trace of a fault or a change under way is left."""
    system = machine.system
    assert system.engine.stop.kind == "quiescent", system.engine.stop
    account = system.account_pages()
    assert account.conserved, account
    assert_page_tables_fit_vmas(system)
    assert_nothing_is_held(system)
    assert_file_pages_are_counted(system)
    assert_tlbs_agree(system)
    assert_time_adds_up(system)


def pages_mapped(system):
    """Map each virtual page number to its entry, huge pages' too."""
    shift, per_pmd = system.machine.page_shift, system.machine.pmd_pages
    entries = {}
    for ptl in system.ptls():
        if not ptl.freed:
            entries |= {(ptl.pmd_address >> shift) + index: value for index, value in ptl.mapped().items()}
    for index, entry in pmds(system):
        if entry.pmd.state is PmdState.HUGE:
            for offset in range(per_pmd):
                entries[index * per_pmd + offset] = (entry.pmd.pfn + offset) << 2 | 3
    return entries


def pmds(system):
    """Every PMD entry of every process, with its index."""
    return [item for mm in system.mms for item in mm.pmds._entries.items()]


def vma_at(system, address):
    """The area that holds the address, of whichever process."""
    return system.mms[system.layout.process_of(address)].tree.find(address)


def assert_page_tables_fit_vmas(system):
    shift = system.machine.page_shift
    for vpn, value in pages_mapped(system).items():
        vma = vma_at(system, vpn << shift)
        assert vma is not None, f"page {vpn:#x} is mapped outside every VMA"
        assert vma.writable or not pte_write(value), f"page {vpn:#x} is writable in a read-only VMA"
        assert pte_pfn(value) != ZERO_PFN or not pte_write(value), f"page {vpn:#x}: the zero page is writable"
    hanging = Counter(
        table.id for _, entry in pmds(system) for table in (entry.table, entry.deposited) if table is not None
    )
    assert hanging == Counter(ptl.id for ptl in system.ptls() if not ptl.freed)
    for index, entry in pmds(system):
        assert (entry.pmd.state is PmdState.TABLE) == (entry.table is not None), index
        assert (entry.pmd.state is PmdState.HUGE) == (entry.deposited is not None), index


def assert_nothing_is_held(system):
    for mm in system.mms:
        assert_mm_is_idle(mm)
    for _, entry in pmds(system):
        assert entry.owner is None
        assert not entry.waiting
    for ptl in system.ptls():
        assert ptl._owner is None
        assert not ptl._waiting
    for cpu in system.cpus:
        assert cpu.interrupts.enabled
        assert not cpu.interrupts.pending
        assert not any(thread.coroutine for thread in cpu.threads.values())


def assert_mm_is_idle(mm):
    vmas, rwsem = mm.vmas, mm.sem._rwsem
    assert rwsem.owners() == []
    assert not rwsem.queue
    assert not rwsem.spinners
    in_limbo = vmas.limbo.vma_ids()  # for their callbacks no machine goes on
    living = sorted(vma_id for vma_id in vmas._by_id if vma_id not in in_limbo)
    assert living == sorted(vma.vma_id for vma in mm.tree), "an area that left the tree lives on"
    assert all(vmas._by_id[vma_id].references == 1 and not vmas._by_id[vma_id].attached for vma_id in in_limbo)
    assert not any(any(domain.readers) for domain in mm.grace_periods._domains.values())
    assert sorted(vmas.lines) == sorted(vmas.locks._lines) == sorted(vmas._by_id)
    for vma in mm.tree:
        assert vma.sequence % 2 == 0, vma
        assert (vma.references, vma.readers, vma.writer_waits, vma.attached) == (1, 0, False, True), vma
    assert not vmas.locks._writers
    assert not vmas._postponed
    assert not vmas._regions.changing
    assert not any(mm.admission._inside.values())


def assert_file_pages_are_counted(system):
    """A page of a file has a reference of its tree and of each entry that maps it, and nobody else's; no lock."""
    entries = Counter(pte_pfn(value) for value in pages_mapped(system).values())
    for page in system.page_cache._pages:
        assert page.mapcount == entries[page.pfn], page
        assert page.references == 1 + page.mapcount, page
        assert page.owner is None, page
        assert not page.waiting, page


def assert_tlbs_agree(system):
    """A CPU that may use its TLB caches nothing that the page tables do not say (fewer rights are no harm)."""
    mapped = pages_mapped(system)
    for cpu in system.cpus:
        for vpn, cached in cpu.tlb._entries.items() if cpu._in_mm else ():
            value = mapped.get(vpn)
            assert value is not None, f"{cpu.name} caches page {vpn:#x}, which is mapped no more"
            assert pte_pfn(cached) == pte_pfn(value), f"{cpu.name} caches another frame for page {vpn:#x}"
            assert allows(value, write=pte_write(cached)), f"{cpu.name} may write page {vpn:#x}, its entry forbids it"


def assert_time_adds_up(system):
    """Each CPU's kinds of time sum up to the virtual time."""
    for cpu in system.cpus:
        spent = {kind.name: cpu.spent[kind] for kind in Spent}
        assert sum(spent.values()) == system.engine.now_ns, f"{cpu.name}: {spent}"
        assert min(spent.values()) >= 0, f"{cpu.name}: {spent}"
