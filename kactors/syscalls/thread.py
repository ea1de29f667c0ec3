"""A user thread: what a workload's program may do."""

from __future__ import annotations

from collections.abc import Callable

from kactors import filemap
from kactors.barrier import Barrier
from kactors.cpu import Cpu
from kactors.engine.errors import UsageError
from kactors.fault_policy import FaultPath, FaultPolicy
from kactors.kernel.accounting import Spent
from kactors.kernel.pte import allows, mk_pte, pte_pfn
from kactors.pipe import Pipe
from kactors.syscalls import address_space, barriers, pipes, set_up
from protocols.page_cache import Filesystem
from protocols.page_table import PmdState
from protocols.scheduling import FUTEX_WAKE
from protocols.tracepoints import (
    FaultDone,
    PageFaultUser,
    RecordDone,
    RegisterSet,
    SyscallDone,
    TlbWalk,
    UserLoad,
    UserStore,
)
from protocols.vma import MappedFile, MmapRegion, VmaKind


class UserThread:
    """The program's handle on the machine; every method takes virtual time.

    Args:
        number: the workload's number of the thread; 0 is the one that sets up.
        cpu: where it runs.
        policy: serves its faults; what is under way when another one is set ends under the old one.
        start: starts another thread by number.
    """

    def __init__(self, number: int, cpu: Cpu, policy: FaultPolicy, start: Callable[[UserThread, int], None]) -> None:
        self.number = number
        self.cpu = cpu
        self.policy = policy
        self._start = start

    @property
    def page_size(self) -> int:
        """Bytes a page."""
        return self.cpu.machine.page_size

    def pick(self, label: str, n: int) -> int:
        """Draw from ``range(n)`` for a decision of this program."""
        return self.cpu.engine.choices.pick(f"{label}.{self.number}", n)

    def start(self, number: int) -> None:
        """Start another thread of the workload."""
        self._start(self, number)

    async def compute(self, ns: int) -> None:
        """Run user code for ``ns``."""
        await self.cpu.compute(ns)

    async def copy(self, length: int) -> None:
        """Copy ``length`` bytes, which are all mapped: user code, that shares the socket's memory bandwidth.

        CPUs take turns at the memory channels: of more than a PMD maps, by so much.
        """
        cpu = self.cpu
        block = cpu.machine.pmd_size
        for first in range(0, length, block):
            size = min(block, length - first)
            alone_ns = cpu.jitter(cpu.machine.copy_huge_ns * size // block)
            cpu.mode = Spent.USER
            await cpu.compute(await cpu.memory_takes(alone_ns, 2 * size))

    async def wait(self) -> None:
        """Sleep until another thread calls ``wake``; one that came before counts. No system call is paid for."""
        cpu = self.cpu
        cpu.current.request = "a futex"
        await cpu.sync()
        await cpu.sleep()

    async def sleep(self, ns: int) -> None:
        """Sleep off the CPU for ``ns``: a timer wakes it. No system call is paid for."""
        cpu = self.cpu
        cpu.current.request = "a timer"
        await cpu.sync()
        cpu.engine.post(cpu.clock_ns + ns, cpu.me, cpu.me, FUTEX_WAKE, self.number + 1)
        await cpu.sleep()

    def wake(self, other: UserThread) -> None:
        """End another thread's ``wait``."""
        self.cpu.say(other.cpu.me, FUTEX_WAKE, other.number + 1)

    def record_done(self) -> None:
        """Count one unit of the workload's own result."""
        self.cpu.note(RecordDone(thread=self.number))

    def note(self, register: str, value: object) -> None:
        """Tell what was seen: a litmus test's outcome is what its registers hold at the end."""
        if self.cpu.engine.listens(RegisterSet):
            self.cpu.note(RegisterSet(thread=self.number, register_name=register, value=str(value)))

    # --- memory accesses ---------------------------------------------------------------------------------------------

    async def touch(self, address: int, *, write: bool = True) -> bool:
        """Load or store one byte; faults as often as it takes. False: SIGSEGV, the access did not happen."""
        cpu = self.cpu
        vpn = address >> cpu.machine.page_shift
        cpu.mode = Spent.USER
        while True:
            # What other CPUs did to this CPU's TLB up to this very instant has to count.
            await cpu.sync()
            pte = cpu.tlb.lookup(vpn, write=write)
            if pte is not None:
                used = UserStore if write else UserLoad
                if cpu.engine.listens(used):
                    cpu.note(used(vpn=vpn, pfn=pte_pfn(pte), cpu=cpu.cpu_id))
                return True
            with cpu.instruction():
                walked = await self._walk(vpn, address, write=write)
            if not walked and not await self._fault(address, write=write):
                return False

    def translated_to(self, address: int) -> int:
        """Return where the page ends, small or huge, through whose translation ``address`` has just been accessed."""
        machine = self.cpu.machine
        pmd = self.cpu.tlb.pmd(address >> machine.page_shift)
        size = machine.pmd_size if pmd is not None and pmd.state is PmdState.HUGE else machine.page_size
        return (address // size + 1) * size

    async def _walk(self, vpn: int, address: int, *, write: bool) -> bool:
        """The hardware's page table walk: fill the TLB; False is a page fault."""
        cpu = self.cpu
        tlb = cpu.tlb
        flushes = tlb.flushes
        if cpu.engine.listens(TlbWalk):
            cpu.note(TlbWalk(vpn=vpn, cpu=cpu.cpu_id))
        pmd = tlb.pmd(vpn)
        if pmd is None:
            pmd = await cpu.read_pmd(address)
            if pmd.state not in (PmdState.TABLE, PmdState.HUGE):
                return False
            if tlb.flushes == flushes:
                tlb.fill_pmd(vpn, pmd)
        if tlb.flushes != flushes:
            return True
        if pmd.state is PmdState.HUGE:
            pte = mk_pte(pmd.pfn + cpu.pte_index(address), write=True)
        else:
            pte = await cpu.read_pte(pmd.table, address)
        if not allows(pte, write=write):
            return False
        if tlb.flushes == flushes:  # else an invalidation overtook this walk: its result is void
            tlb.fill(vpn, pte)
        return True

    async def _fault(self, address: int, *, write: bool) -> bool:
        cpu = self.cpu
        began_ns = cpu.clock_ns
        cpu.mode = Spent.FAULT
        cpu.enter_kernel()
        if cpu.engine.listens(PageFaultUser):
            cpu.note(PageFaultUser(address=address, write=write))
        cpu.traced()
        cpu.work(cpu.machine.fault_entry_ns)
        path = self._told(await self.policy.fault(cpu, address, write=write))
        cpu.work(cpu.machine.fault_exit_ns)
        cpu.leave_kernel()
        cpu.note(FaultDone(address=address, duration=cpu.clock_ns - began_ns, path=path))
        await cpu.return_to_user()
        return path is not FaultPath.SIGSEGV

    def _told(self, path: object) -> FaultPath:
        """Return by which path a policy says that it served a fault; a user's own may say anything."""
        if isinstance(path, FaultPath):
            return path
        right = ", ".join(f"FaultPath.{each.name}" for each in FaultPath)
        raise UsageError(f"{self.policy.name}: fault() returned {path!r}: should be one of {right}")

    # --- system calls ------------------------------------------------------------------------------------------------

    async def open_file(self, filesystem: Filesystem = Filesystem.TMPFS, *, cached: bool = False) -> int:
        """Make a file and return its number, to be mapped; it has no end, and no name.

        ``cached``: its pages were in memory before the run; else it is a hole, as after ftruncate.
        """
        began_ns = self._enter()
        number = await filemap.open_file(self.cpu, filesystem, cached=cached)
        await self._leave("open", began_ns)
        return number

    async def mmap(
        self,
        length: int,
        *,
        address: int = address_space.ANYWHERE,
        readable: bool = True,
        writable: bool = True,
        kind: VmaKind = VmaKind.ANON,
        file: MappedFile | None = None,
        replace: bool = False,
    ) -> int:
        """Map an area at ``address`` or where it fits; return where, or -1 when it does not fit.

        With ``replace`` (MAP_FIXED) whatever was at ``address`` is unmapped.

        With ``file`` it maps that, whatever ``kind`` says. A file area without one maps, privately, a file of its own
        that was in the page cache already.
        """
        began_ns = self._enter()
        if file is None and kind is VmaKind.FILE:
            number = await filemap.open_file(self.cpu, Filesystem.EXT4, cached=True)
            file = MappedFile(file=number, offset=0, shared=False)
        request = MmapRegion(
            address=address,
            length=self._pages(length),
            readable=readable,
            writable=writable,
            kind=kind if file is None else VmaKind.FILE,
            mapped_file=file,
        )
        mapped = await address_space.mmap(self.cpu, self.policy, request, replace=replace)
        await self._leave("mmap", began_ns)
        return mapped

    async def munmap(self, address: int, length: int) -> None:
        """Unmap [address, address + length), rounded to pages."""
        began_ns = self._enter()
        await address_space.munmap(self.cpu, self.policy, address, address + self._pages(length))
        await self._leave("munmap", began_ns)

    async def brk(self, address: int) -> int:
        """Move the heap's end to ``address``, or try to; return where it is afterwards, as the system call does."""
        began_ns = self._enter()
        end = await address_space.brk(self.cpu, self.policy, address)
        await self._leave("brk", began_ns)
        return end

    def pipe(self) -> Pipe:
        """Make a pipe."""
        return Pipe(self.cpu.engine, self.cpu.machine)

    async def write_pipe(self, pipe: Pipe, count: int = 1) -> None:
        """Write bytes, and wake who waits for them."""
        began_ns = self._enter()
        await pipes.write(self.cpu, pipe, count)
        await self._leave("write", began_ns)

    async def read_pipe(self, pipe: Pipe, count: int = 1) -> int:
        """Read at most so many bytes, after waiting for some; 0: the writing side is closed."""
        began_ns = self._enter()
        read = await pipes.read(self.cpu, pipe, count)
        await self._leave("read", began_ns)
        return read

    async def close_pipe(self, pipe: Pipe) -> None:
        """Close the writing side."""
        began_ns = self._enter()
        await pipes.close(self.cpu, pipe)
        await self._leave("close", began_ns)

    def barrier(self, threads: int) -> Barrier:
        """Make a barrier for so many threads."""
        return Barrier(self.cpu.engine, self.cpu.machine, threads)

    async def wait_at(self, barrier: Barrier) -> None:
        """Arrive, and sleep until all have: pthread_barrier_wait."""
        self.cpu.mode = Spent.USER
        arrived = await barriers.arrive(self.cpu, barrier)
        if barrier.threads > 1:
            began_ns = self._enter()
            await barriers.futex(self.cpu, barrier, arrived)
            await self._leave("futex", began_ns)

    async def mprotect(self, address: int, length: int, *, readable: bool = True, writable: bool) -> None:
        """Change the protection of [address, address + length)."""
        began_ns = self._enter()
        end = address + self._pages(length)
        await address_space.mprotect(self.cpu, self.policy, address, end, readable=readable, writable=writable)
        await self._leave("mprotect", began_ns)

    async def madvise_dontneed(self, address: int, length: int) -> None:
        """Drop the pages of [address, address + length); the next access finds zeroes."""
        began_ns = self._enter()
        await address_space.madvise_dontneed(self.cpu, self.policy, address, address + self._pages(length))
        await self._leave("madvise", began_ns)

    async def madvise_hugepage(self, address: int, length: int) -> None:
        """Let khugepaged collapse [address, address + length)."""
        began_ns = self._enter()
        await address_space.madvise_hugepage(self.cpu, self.policy, address, address + self._pages(length))
        await self._leave("madvise", began_ns)

    async def begin_with_pages(self, address: int, length: int) -> bool:
        """Have every page of [address, address + length) populated, as a run's beginning: no time passes.

        Only of an area that this thread has just mapped itself. False: there is too little memory, nothing is done.
        """
        return await set_up.populate(self.cpu, address, address + self._pages(length))

    async def begin_with_file(self, file: int, length: int) -> bool:
        """Have the first ``length`` bytes of a new file in the page cache, as a run's beginning: no time passes.

        False: there is too little memory, nothing is done.
        """
        return await set_up.fill_file(self.cpu, file, self._pages(length) // self.page_size)

    async def begin_with_mapping(self, address: int, length: int, file: int) -> bool:
        """As ``begin_with_pages``, in a shared area of a file, from its beginning on, that is filled already."""
        return await set_up.map_file(self.cpu, address, address + self._pages(length), file)

    async def exit(self) -> None:
        """End the process, which has no other thread: its memory is freed, and waits for nobody's return."""
        self.cpu.mode = Spent.SYSCALL
        await address_space.exit_mmap(self.cpu, self.policy)

    def _pages(self, length: int) -> int:
        return -(-length // self.page_size) * self.page_size

    def _enter(self) -> int:
        cpu = self.cpu
        began_ns = cpu.clock_ns
        cpu.mode = Spent.SYSCALL
        cpu.enter_kernel()
        cpu.spend(cpu.machine.syscall_ns // 2)
        cpu.traced()
        return began_ns

    async def _leave(self, name: str, began_ns: int) -> None:
        cpu = self.cpu
        cpu.traced()
        cpu.spend(cpu.machine.syscall_ns - cpu.machine.syscall_ns // 2)
        cpu.leave_kernel()
        if cpu.engine.listens(SyscallDone):
            cpu.note(SyscallDone(name=name, duration=cpu.clock_ns - began_ns))
        await cpu.return_to_user()
