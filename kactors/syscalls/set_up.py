"""A state that a run begins with: no system call, and no time passes (protocols/set_up.py)."""

from __future__ import annotations

from kactors.cpu import Cpu
from protocols.set_up import AreaSetUp, PagesSetUp, SetUpArea, SetUpPages
from protocols.tracepoints import FrameTaken


async def populate(cpu: Cpu, start: int, end: int) -> bool:
    """Have a page at every address of [start, end), which the caller alone knows of; False: too little memory."""
    machine = cpu.machine
    pages = (end - start) >> machine.page_shift
    if not pages:
        return True
    tables = (end - 1) // machine.pmd_size - start // machine.pmd_size + 1
    taken: PagesSetUp = await cpu.ask(cpu.directory.allocator, SetUpPages(count=pages + tables))
    if not taken.pfns:
        return False
    if cpu.engine.listens(FrameTaken):
        for pfn in taken.pfns[:tables]:
            cpu.note(FrameTaken(pfn=pfn, order=0))
    request = SetUpArea(address=start, pfns=taken.pfns[tables:], tables=taken.pfns[:tables])
    done: AreaSetUp = await cpu.ask(cpu.directory.mm, request)
    for pfn in done.unused:
        await cpu.put_page(pfn)
    return True
