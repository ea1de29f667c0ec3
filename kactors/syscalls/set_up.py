"""A state that a run begins with: no system call, and no time passes (protocols/set_up.py)."""

from __future__ import annotations

from kactors.cpu import Cpu
from protocols.set_up import (
    AreaSetUp,
    MappingSetUp,
    PagesSetUp,
    SetUpArea,
    SetUpFile,
    SetUpMapping,
    SetUpPages,
)
from protocols.tracepoints import FrameTaken


async def populate(cpu: Cpu, start: int, end: int) -> bool:
    """Have a page at every address of [start, end), which the caller alone knows of; False: too little memory."""
    machine = cpu.machine
    pages = (end - start) >> machine.page_shift
    if not pages:
        return True
    tables = _tables(cpu, start, end)
    taken = await _take(cpu, pages + tables, noted=tables)
    if taken:
        await _map(cpu, start, taken[tables:], taken[:tables])
    return bool(taken)


async def fill_file(cpu: Cpu, file: int, pages: int) -> bool:
    """Have the first pages of a file in the page cache, which holds none of it yet; False: too little memory."""
    taken = await _take(cpu, pages, noted=0)
    if taken:
        await cpu.ask(cpu.directory.page_cache, SetUpFile(file=file, pfns=taken))
    return bool(taken)


async def map_file(cpu: Cpu, start: int, end: int, file: int) -> bool:
    """Have the first pages of a filled file mapped, and written, at [start, end); False: too little memory."""
    pages = (end - start) >> cpu.machine.page_shift
    if not pages:
        return True
    tables = _tables(cpu, start, end)
    taken = await _take(cpu, tables, noted=tables)
    if taken:
        mapped: MappingSetUp = await cpu.ask(cpu.directory.page_cache, SetUpMapping(file=file, count=pages))
        await _map(cpu, start, mapped.pfns, taken)
    return bool(taken)


def _tables(cpu: Cpu, start: int, end: int) -> int:
    """Return how many page tables cover a range."""
    return (end - 1) // cpu.machine.pmd_size - start // cpu.machine.pmd_size + 1


async def _take(cpu: Cpu, count: int, *, noted: int) -> tuple[int, ...]:
    """Take frames, or none; the first ``noted`` are told as taken, of the others those tell who get them."""
    taken: PagesSetUp = await cpu.ask(cpu.directory.allocator, SetUpPages(count=count))
    if cpu.engine.listens(FrameTaken):
        for pfn in taken.pfns[:noted]:
            cpu.note(FrameTaken(pfn=pfn, order=0))
    return taken.pfns


async def _map(cpu: Cpu, start: int, pfns: tuple[int, ...], tables: tuple[int, ...]) -> None:
    done: AreaSetUp = await cpu.ask(cpu.directory.mm, SetUpArea(address=start, pfns=pfns, tables=tables))
    for pfn in done.unused:
        await cpu.put_page(pfn)
