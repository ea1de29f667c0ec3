"""A machine profile: topology, page size and costs in ns, each with its source in the TOML file that it came from."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

CPUS_MAX = 4096
Cost = Annotated[int, Field(ge=0, le=1_000_000_000)]
"""Up to a second: no CPU spends that on one operation of the kernel without its watchdogs."""
Percent = Annotated[int, Field(ge=0, le=100)]
Batch = Annotated[int, Field(ge=1, le=1 << 20)]
"""How many pages something is done for at once."""
Flag = Annotated[bool, Field(strict=False)]
"""True or false; 1 or 0 where a scenario replaces it, whose values are numbers."""
Placement = Literal["adjacent", "cores", "sockets"]
"""How threads are spread, one a CPU: over CPUs as they are numbered, so that a core's CPUs come one after the other; a
CPU of each core first, socket after socket; a CPU of each core first, the sockets in turn."""


class Machine(BaseModel):
    """What a run needs to know of the hardware and the kernel build. All costs are for one operation of one CPU.

    Raises:
        pydantic.ValidationError: an unknown key, a missing one, or a value out of range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    cpus: Annotated[int, Field(ge=1, le=CPUS_MAX)]
    page_size: Literal[4096, 16384, 65536]
    tlb: Literal["ipi", "tlbie"]
    pmd_pages: Literal[256, 512]
    """Pages that one page table maps: 512 on x86, 256 on POWER8 with 64 KiB pages."""

    cpus_per_core: Annotated[int, Field(ge=1, le=8)]
    """As many as POWER8 and its successors have; no processor has more."""
    smt_slowdown_percent: Percent
    """How much longer a CPU computes for each other CPU of its core that runs threads; 0: they do not disturb it; 100:
    the CPUs of a core do together what one does alone."""
    cores_per_cache: Annotated[int, Field(ge=1, le=CPUS_MAX)]
    """Cores that share a last-level cache."""
    caches_per_socket: Annotated[int, Field(ge=1, le=CPUS_MAX)]
    placement: Placement
    """On which CPUs the first threads live, unless the workload says otherwise."""

    line_core_ns: Cost
    line_cache_ns: Cost
    line_socket_ns: Cost
    line_remote_ns: Cost
    atomic_ns: Cost
    jitter_percent: Annotated[int, Field(ge=0, le=99)]
    """How far a duration may lie from its cost; at 100 it could be none."""

    fault_entry_ns: Cost
    """From the exception to the look-up of the area."""
    charge_ns: Cost
    """What a fault does between its area and its page: upper levels of the page table, the memory cgroup's charge."""
    fault_exit_ns: Cost
    syscall_ns: Cost
    find_vma_ns: Cost
    vma_adjust_ns: Cost
    map_ns: Cost
    detach_ns: Cost
    """munmap's work for the tree and the accounting, under mmap_sem held for writing, besides the tree's changes."""
    unmap_ns: Cost
    """What munmap does once PTEs are cleared, besides page tables and flushes: under mmap_sem held for reading since
    4.20."""
    protect_ns: Cost
    """What mprotect and MADV_HUGEPAGE do for each area besides the tree's changes and the page tables."""
    rmap_lru_ns: Cost
    zap_pte_ns: Cost
    clear_page_ns: Cost
    clear_huge_ns: Cost
    copy_huge_ns: Cost
    copy_page_ns: Cost
    memory_bandwidth_gbs: Annotated[int, Field(ge=0, le=10_000)]
    """What all CPUs of a socket can clear and copy together; 0: as much as they like."""

    pipe_ns: Cost
    """Reading from a pipe or writing to it, without the wake-up."""
    futex_ns: Cost
    """Section under the lock of a futex's hash bucket that looks, and queues the caller or takes the sleepers out."""
    page_cache_find_ns: Cost
    """Walk of a file's tree to one page."""
    page_cache_insert_ns: Cost
    """Section under a file's i_pages lock that inserts a page."""
    page_mkwrite_ns: Cost
    """What page_mkwrite computes where the file system has it."""
    page_dirty_ns: Cost
    """Section under a file's i_pages lock that accounts a page as dirty."""
    fault_around_bytes: Annotated[int, Field(ge=1, le=1 << 30)]
    """What a read fault of a file maps beside its page, if it is in the page cache."""
    fault_around_page_ns: Cost

    pte_lock_scope: Literal["table", "entry"]
    """A lock a page table, or a lock an entry, which no kernel has: to ask what sharing the lock costs."""
    scan_pte_ns: Cost
    """What khugepaged spends on a PTE each time that it looks through a page table."""

    mmu_gather_pages: Batch
    """Pages that munmap collects before it must flush under the PTE lock."""

    irq_toggle_ns: Cost
    tlb_flush_page_ns: Cost
    tlb_flush_full_ns: Cost
    tlb_flush_ceiling_pages: Batch
    tlbie_ns: Cost
    hpte_insert_ns: Cost
    """Putting a PTE that a fault has set into the hash table, before the PTE lock is dropped (hash_preload)."""
    lazy_tlb: Literal["keep", "leave", "skip"]
    """An idle CPU keeps the mm until its first needless IPI (4.14 to 4.19 without PCID), leaves mm_cpumask at once (the
    same with PCID), or stays there and is skipped unless page tables go (4.20 and later)."""
    ipi_send_ns: Cost
    ipi_exit_ns: Cost
    """What writing the interrupt command register costs the sender more in a VM: an exit, for all targets at once."""
    ipi_delivery_ns: Cost
    ipi_stop_ns: Cost
    """For how long a virtual CPU that runs is stopped before it takes an interrupt, where the hypervisor injects it."""
    ipi_handler_ns: Cost
    idle_poll_ns: Cost
    """How long an idle CPU polls for work before it halts (in a VM, the host's halt polling)."""
    idle_poll_exit_ns: Cost
    idle_exit_ns: Cost

    switch_ns: Cost
    wake_ns: Cost
    wake_placement: Literal["home", "idle"]
    """A thread that wakes up stays on its CPU, or looks for an idle one (select_task_rq_fair) and may move later."""
    migration_cost_ns: Cost
    """Where threads move, an idle CPU takes one from another CPU if its idle times are longer than this on average."""
    slice_ns: Annotated[int, Field(ge=1_000, le=1_000_000_000)]
    tick_ns: Cost
    """Period of the timer tick, at which the end of a slice is noticed; 0: at once."""
    rwsem_spins: Flag
    """Writers spin on an owner that runs (CONFIG_RWSEM_SPIN_ON_OWNER)."""
    rwsem_steal_percent: Percent
    """How often a spinning writer beats the wake-up of readers at the head of the queue."""
    rwsem_handoff_ns: Cost
    """How long the head of the queue waits before a vain try of its reserves the lock; 0: for ever (before 5.3)."""
    rwsem_reader_spin_ns: Cost
    """How long a writer spins on readers, besides half a microsecond for each of them; 0: not at all (before 5.3)."""
    rwsem_queue_ns: Cost
    """What it takes a writer to join the queue before it sleeps."""
    rwsem_spin_round_ns: Cost
    """A round of that: a pause, and a look at the lock."""
    rwsem_readers_steal: Flag
    """A reader takes a free lock past the sleeping queue (5.11 and later)."""

    pcp_ns: Cost
    pcp_batch: Batch
    pcp_high: Batch
    zone_lock_ns: Cost
    zone_page_ns: Cost
    tail_page_ns: Cost
    """What each page of a huge one but the first adds to its allocation, and again to its freeing."""
    page_lines: Annotated[int, Field(ge=0, le=4)]
    """Cache lines of a struct page that move when another CPU handles the page; 0: other costs have it."""
    reclaim_page_ns: Cost
    tracing_ns: Cost
    """What it costs to write one tracepoint down, where the scenario is traced."""

    lru_lock_ns: Cost
    lru_page_ns: Cost
    """A section under the lru_lock of a node, and what each page adds after another CPU's; 0: nobody's bottleneck."""
    cold_percent: Annotated[int, Field(ge=0, le=1_000)]
    """How much longer kernel code takes whose code and data have left the caches."""
    cold_after_ns: Cost
    """User code that ran longer than this, or a switch, has taken the caches."""

    memory_mib: Annotated[int, Field(ge=1, le=64 << 20)]
    """Up to 64 TiB, what an x86 CPU's 46 bits address."""
    page_cache_mib: Annotated[int, Field(ge=0, le=16 << 10)]
    """Clean page cache: what reclaim can turn into free memory."""

    @cached_property
    def page_shift(self) -> int:
        """log2 of the page size."""
        return self.page_size.bit_length() - 1

    @cached_property
    def pmd_size(self) -> int:
        """Bytes that one PMD entry maps."""
        return self.page_size * self.pmd_pages

    @cached_property
    def huge_order(self) -> int:
        """Allocation order of a huge page."""
        return self.pmd_pages.bit_length() - 1

    @cached_property
    def _places(self) -> list[tuple[int, int, int]]:
        core, cache = self.cpus_per_core, self.cpus_per_core * self.cores_per_cache
        socket = cache * self.caches_per_socket
        return [(cpu // core, cpu // cache, cpu // socket) for cpu in range(self.cpus)]

    @cached_property
    def sockets(self) -> int:
        """Sockets, the last of which may not be full."""
        return self.socket_of(self.cpus - 1) + 1

    def socket_of(self, cpu: int) -> int:
        """Return the socket of a CPU. The CPUs of a core, cache and socket are numbered one after the other.

        Linux numbers them otherwise: the second CPU of each core after the first ones of all.
        """
        return self._places[cpu][2]

    def sharing_cache(self, cpu: int) -> range:
        """Return the CPUs that share a CPU's last-level cache, that one too."""
        size = self.cpus_per_core * self.cores_per_cache
        first = cpu - cpu % size
        return range(first, min(first + size, self.cpus))

    def siblings(self, cpu: int) -> tuple[int, ...]:
        """Return the other CPUs of a CPU's core."""
        first = cpu - cpu % self.cpus_per_core
        return tuple(n for n in range(first, min(first + self.cpus_per_core, self.cpus)) if n != cpu)

    @cached_property
    def _orders(self) -> dict[str, tuple[int, ...]]:
        cpus, places, siblings = range(self.cpus), self._places, self.cpus_per_core
        first = {place[2]: place[0] for place in reversed(places)}
        return {
            "adjacent": tuple(cpus),
            "cores": tuple(sorted(cpus, key=lambda cpu: (cpu % siblings, cpu))),
            "sockets": tuple(
                sorted(cpus, key=lambda cpu: (cpu % siblings, places[cpu][0] - first[places[cpu][2]], places[cpu][2]))
            ),
        }

    def cpu_of(self, thread: int, placement: Placement | None = None) -> int:
        """Return the CPU of the thread-th thread, counted from 0; with more threads than CPUs it begins anew.

        Args:
            thread: its number.
            placement: replaces the profile's own.
        """
        return self._orders[placement or self.placement][thread % self.cpus]

    def transfer_ns(self, owner: int, reader: int) -> int:
        """Return the cost of moving a cache line between two CPUs; -1, memory or khugepaged, is in the socket."""
        if owner < 0 or reader < 0:
            return self.line_socket_ns
        one, other = self._places[owner], self._places[reader]
        if one[0] == other[0]:
            return self.line_core_ns
        if one[1] == other[1]:
            return self.line_cache_ns
        return self.line_socket_ns if one[2] == other[2] else self.line_remote_ns
