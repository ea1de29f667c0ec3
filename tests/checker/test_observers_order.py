"""What observers are told commutes where it is judged independent: from any state, for every property."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from kactors.checker.automata import Vocabulary
from kactors.checker.dependence import Dependence
from kactors.checker.registers import Outcome
from kactors.checker.space import Happening
from kactors.engine.observer import Observer
from kactors.observers.properties import PROPERTIES
from protocols import tracepoints as tp
from protocols.base import Tracepoint
from protocols.set_up import FilePagesFound

PMD_PAGES = 512
TABLES = {5: 0, 6: 0, 7: 1}
"""Two page tables for one PMD, and one for the next."""

HUGE_ORDER = 1
"""As small as a huge page can be: the less there is to compare."""

PFNS = (40, 41)
PAGES = ((5, 0), (5, 1), (6, 0), (7, 0))
"""(table, index)."""

Told = tuple[str, Tracepoint]


def vpn_of(table: int, index: int) -> int:
    return TABLES[table] * PMD_PAGES + index


def by_page_tables() -> Iterator[Told]:
    for table, index in PAGES:
        for pfn in PFNS:
            value, pmd = pfn << 12 | 1, TABLES[table] << 21
            vpn = vpn_of(table, index)
            yield f"ptl{table}", tp.PteSet(table=table, pmd_address=pmd, index=index, vpn=vpn, value=value)
            yield f"ptl{table}", tp.PageMapped(pfn=pfn, vpn=vpn, order=0)
            yield f"ptl{table}", tp.PagesFound(first=vpn, pfns=(pfn,))
            yield f"ptl{table}", tp.PagesUnmapped(pfns=(pfn,), vpns=(vpn,), order=0)
    for table, pmd in TABLES.items():
        yield f"ptl{table}", tp.TableTouched(table=table, toucher="cpu0", request="ReadPte")
        yield f"ptl{table}", tp.TableDestroyed(table=table, pfn=table + 50, who="cpu1", pfns=())
        yield "mm", tp.TableMade(table=table, pfn=table + 50)
        yield "mm", tp.PmdChanged(address=pmd << 21, state="table", table=table, collapsing=False)
        yield "khugepaged", tp.PagesIsolated(address=pmd << 21, table=table)
        yield "khugepaged", tp.CollapseDone(address=pmd << 21, status=f"for {table}", duration=0)
    for pmd in (0, 1):
        yield "mm", tp.PmdChanged(address=pmd << 21, state="none", table=-1, collapsing=False)
        yield "mm", tp.PmdChanged(address=pmd << 21, state="none", table=-1, collapsing=True)
        yield "mm", tp.PmdChanged(address=pmd << 21, state="huge", table=-1, collapsing=False)
        yield "mm", tp.PageMapped(pfn=1024, vpn=pmd * PMD_PAGES, order=HUGE_ORDER)
        yield "mm", tp.PagesUnmapped(pfns=(1024,), vpns=(pmd * PMD_PAGES,), order=HUGE_ORDER)


def by_areas_and_locks() -> Iterator[Told]:
    for first, last in ((0, 1), (0, 2), (1, 2), (512, 513)):
        yield "mm", tp.RangeMapped(first=first, last=last)
        for who in ("cpu0", "cpu1"):
            yield who, tp.RangeUnmapped(first=first, last=last)
            for flag in (False, True):
                yield who, tp.RangeProtected(first=first, last=last, writable=flag)
                yield who, tp.RangeDiscarded(first=first, last=last, done=flag)
    for who, last in (("cpu0", 1), ("cpu1", 2), ("khugepaged", 513)):
        # A flush ends with the range with which it began.
        yield who, tp.TlbFlush(first=0, last=last, done=False)
        yield who, tp.TlbFlush(first=0, last=last, done=True)
    for who, lock, place in (("mm", "mmap_sem", 0), ("mm", "pmd_lock", 0), ("ptl5", "pte_lock", 5)):
        for owner, tag in (("cpu0", 1), ("cpu1", 2)):
            for write in (False, True) if lock == "mmap_sem" else (True,):
                about: dict[str, Any] = {"lock": lock, "place": place, "write": write, "owner": owner, "tag": tag}
                yield who, tp.LockAcquired(**about)
                yield who, tp.LockReleased(**about)
                yield who, tp.LockNeeded(**about, act="does something")
    yield "mm", tp.VmaTouched(vma_id=1, toucher="cpu0", request="ReadVma")
    yield "mm", tp.TransientStated(policy="mine", pages=1)


def by_clients() -> Iterator[Told]:
    for cpu in (0, 1):
        who = f"cpu{cpu}"
        for pfn in PFNS:
            yield who, tp.MmPageAlloc(pfn=pfn, address=0, cpu=cpu)
            yield who, tp.PageDiscarded(pfn=pfn, address=0, zeroing=0)
            yield who, tp.MmPageFree(pfn=pfn, order=0)
            for vpn in (0, 1, 512):
                yield who, tp.UserStore(vpn=vpn, pfn=pfn, cpu=cpu)
                yield who, tp.UserLoad(vpn=vpn, pfn=pfn, cpu=cpu)
        for vpn in (0, 1, 512):
            yield who, tp.TlbWalk(vpn=vpn, cpu=cpu)
        yield who, tp.FrameTaken(pfn=55, order=0)
        yield who, tp.FramePutBack(pfn=55, order=0)
        yield who, tp.IrqDisable(path="a section")
        yield who, tp.IRQ_ENABLE
        yield who, tp.MightSleep(why="memory")
        yield who, tp.FaultDone(address=0, duration=0, path="spf")
        yield who, tp.SyscallDone(name="munmap", duration=0)
        yield who, tp.MmapSemWait(write=True, wait=0, slept=False)
        yield who, tp.IpiSend(request=1, kind="flush", targets=1)
        for name in ("r1", "r2"):
            yield who, tp.RegisterSet(thread=cpu, register_name=name, value=who)
    yield "khugepaged", tp.FrameTaken(pfn=1024, order=HUGE_ORDER)
    yield "khugepaged", tp.FramePutBack(pfn=1024, order=HUGE_ORDER)
    yield "khugepaged", tp.MmPageFree(pfn=1024, order=HUGE_ORDER)
    for pfn in (*PFNS, -1):
        yield "khugepaged", tp.PageCopied(vpn=0, source=pfn, target=1024)


def by_the_page_cache() -> Iterator[Told]:
    for pfn in PFNS:
        yield "page_cache", FilePagesFound(file=1, pfns=(pfn,))
        yield "page_cache", tp.MmFilemapAddToPageCache(pfn=pfn, file=1, index=pfn)


POOL: tuple[Told, ...] = (*by_page_tables(), *by_areas_and_locks(), *by_clients(), *by_the_page_cache())
OBSERVERS: dict[str, type[Observer]] = {"outcome": Outcome, **PROPERTIES}


def heard_by(observer: Observer) -> list[Told]:
    return [told for told in POOL if type(told[1]) in observer.tracepoints()]


def doer(told: Told) -> str:
    """Return whose doing it is; what one client does keeps its order anyway. Servers do only what they are asked to."""
    who, tracepoint = told
    owner = getattr(tracepoint, "owner", who)
    return owner if owner.startswith(("cpu", "khugepaged")) else f"{who}: {tracepoint}"


def after(observer: Observer, *told: Told) -> tuple[Observer | None, bool]:
    """Return the observer once it has heard; None, True after a finding."""
    observer = copy.deepcopy(observer)
    for who, tracepoint in told:
        if observer.tracepoints()[type(tracepoint)](0, who, tracepoint) is not None:
            return None, True
    return observer, False


def in_order(thing: Any) -> Any:
    """Return an observer's state without the order of what it keeps in lists: all of them are asked as sets."""
    if isinstance(thing, dict):
        return frozenset((key, in_order(value)) for key, value in thing.items())
    if isinstance(thing, (list, set, frozenset)):
        return tuple(sorted((in_order(part) for part in thing), key=repr))
    return thing


def test_the_pool_has_every_tracepoint_that_an_observer_hears():
    heard = {kind for observer in OBSERVERS.values() for kind in observer().tracepoints()}
    assert heard == {type(tracepoint) for _, tracepoint in POOL}


@pytest.mark.parametrize("name", OBSERVERS)
@given(data=st.data())
@settings(max_examples=20)
def test_independent_tellings_commute(name: str, data: st.DataObject):
    observer = OBSERVERS[name]()
    pool = heard_by(observer)
    dependence = Dependence(vocabulary := Vocabulary(), (), [observer])
    effects = {told: dependence.effect(Happening((0, 0), (), (vocabulary.telling([told]),))) for told in pool}
    start: Observer | None = observer
    for told in data.draw(st.lists(st.sampled_from(pool), max_size=8)):
        try:
            start = after(observer, told)[0] or observer
        except (KeyError, ValueError):  # the end of something that never began
            continue
        observer = start
    for one, other in combinations(pool, 2):
        if doer(one) == doer(other) or dependence.dependent(effects[one], effects[other]):
            continue
        try:
            left, right = after(observer, one, other), after(observer, other, one)
        except (KeyError, ValueError):
            continue
        assert left[1] == right[1], (one, other, vars(observer))
        if left[0] is not None and right[0] is not None:
            assert in_order(vars(left[0])) == in_order(vars(right[0])), (one, other, vars(observer))
