"""No CPU uses a translation that every CPU has said to have dropped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from kactors.engine.observer import Finding, Hearing
from kactors.kernel.pte import within
from kactors.observers.properties.base import Property
from protocols.base import Tracepoint
from protocols.tracepoints import TlbFlush, TlbWalk, UserLoad, UserStore


class StaleTranslation(Property):
    """After a flush has been acknowledged by all, each CPU walks the page tables anew before it uses the range.

    A translation is as old as the beginning of the walk that found it: one that began before the flush may have seen
    the entry that the flusher had cleared. F1 to F4 (generation, local flush, IPI to each CPU of mm_cpumask, ack), F5
    (a lazy CPU leaves mm_cpumask and starts with an empty TLB), F7 on POWER, and E4 for the range of a collapse.
    """

    name: ClassVar[str] = "stale_translation"

    def __init__(self) -> None:
        self._walked: dict[int, set[int]] = {}
        self._flushing: dict[str, dict[int, set[int]]] = {}

    def tracepoints(self) -> Mapping[type[Tracepoint], Hearing]:
        """Hear walks, uses and flushes."""
        return {TlbWalk: self._walk, UserStore: self._use, UserLoad: self._use, TlbFlush: self._flush}

    def _walk(self, _at_ns: int, _who: str, walk: TlbWalk) -> None:
        self._walked.setdefault(walk.vpn, set()).add(walk.cpu)
        for old in self._flushing.values():
            if walk.vpn in old:
                old[walk.vpn].discard(walk.cpu)

    def _flush(self, _at_ns: int, who: str, flush: TlbFlush) -> None:
        """From its end on nothing counts that was walked before its beginning."""
        if not flush.done:
            pages = within(self._walked, flush.first, flush.last)
            self._flushing[who] = {vpn: set(self._walked[vpn]) for vpn in pages}
            return
        for vpn, cpus in self._flushing.pop(who, {}).items():
            left = self._walked.get(vpn, set()) - cpus
            if left:
                self._walked[vpn] = left
            else:
                self._walked.pop(vpn, None)

    def _use(self, at_ns: int, who: str, use: UserStore | UserLoad) -> Finding:
        if use.cpu in self._walked.get(use.vpn, ()):
            return None
        act = "stores" if isinstance(use, UserStore) else "loads"
        return self.violated(
            f"{who} {act} at {at_ns} ns through a translation of page {use.vpn:#x} to frame {use.pfn} that it found "
            "before a flush which all CPUs have acknowledged"
        )
