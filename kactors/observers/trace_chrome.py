"""A run as Chrome trace events: CPUs as tracks, waits as async spans, IPIs as flows. ui.perfetto.dev opens it.

Format: the Trace Event Format (JSON object form). Duration events of one track must nest. A call or fault during which
its CPU has changed threads, or its thread the CPU, is not drawn as running: it becomes an async span.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kactors.engine.observer import Hearing, Observer
from kactors.observers.trace_file import TraceFile
from protocols.base import Tracepoint
from protocols.scheduling import SchedSwitch
from protocols.tracepoints import (
    CollapseDone,
    FaultDone,
    IpiDone,
    IpiSend,
    IpiServed,
    MmapSemWait,
    MmPageAlloc,
    PageDiscarded,
    PageMapped,
    SpfAbort,
    SyscallDone,
)

MM = 1
"""The process id of everything: there is one mm."""
KHUGEPAGED = "khugepaged"
SPANS_MAX = 1024
"""How many spans of a track are remembered one by one: what is older counts as one span, from the first to the last."""


class Nesting:
    """The spans of one track that a later one could cut, outermost only, in order."""

    def __init__(self) -> None:
        self._spans: list[tuple[int, int]] = []

    def admits(self, start_ns: int, end_ns: int) -> bool:
        """Add a span that ends after all earlier ones; False when it would cut one of them."""
        spans = self._spans
        kept = len(spans)
        while kept and spans[kept - 1][0] >= start_ns:
            kept -= 1
        if kept and spans[kept - 1][1] > start_ns:
            return False
        del spans[kept:]
        spans.append((start_ns, end_ns))
        if len(spans) > SPANS_MAX:
            # A span that begins among the forgotten ones will be refused: it is drawn beside the track, never wrongly.
            half = SPANS_MAX // 2
            spans[:half] = [(spans[0][0], spans[half - 1][1])]
        return True


class ChromeTrace(Observer):
    """Writes trace events as they happen; memory grows with the CPUs and the pages in flight, not with the run.

    Args:
        path: the file to make; complete after ``close``.
        cpus: how many tracks to name.
    """

    def __init__(self, path: Path, cpus: int) -> None:
        self._file = TraceFile(path)
        self.discard = self._file.discard
        self._tracks = {f"cpu{cpu}": cpu for cpu in range(cpus)} | {KHUGEPAGED: cpus}
        self._nesting = {name: Nesting() for name in self._tracks}
        self._spans = 0
        self._sent: dict[str, tuple[int, int]] = {}
        self._running: dict[str, tuple[int, int]] = {}
        self._in_flight: set[int] = set()
        self._file.write('{"displayTimeUnit": "ns", "traceEvents": [')
        self._first = True
        self._put("M", "process_name", tid=0, args={"name": "mm"})
        for name, tid in self._tracks.items():
            self._put("M", "thread_name", tid=tid, args={"name": name})
            self._put("M", "thread_sort_index", tid=tid, args={"sort_index": tid})

    def close(self) -> None:
        """Complete the file."""
        self._file.write("\n]}\n")
        self._file.close()

    def tracepoints(self) -> Mapping[type[Tracepoint], Hearing]:
        """Hear what has a place on the picture."""
        return {
            SchedSwitch: self._switched,
            FaultDone: self._fault,
            SyscallDone: self._syscall,
            CollapseDone: self._collapse,
            MmapSemWait: self._mmap_sem_wait,
            IpiSend: self._ipi_send,
            IpiServed: self._ipi_served,
            IpiDone: self._ipi_done,
            SpfAbort: self._abort,
            MmPageAlloc: self._alloc,
            PageMapped: self._settled,
            PageDiscarded: self._settled,
        }

    # --- writing -----------------------------------------------------------------------------------------------------

    def _put(self, phase: str, name: str, **rest: Any) -> None:
        event = {"ph": phase, "name": name, "pid": MM, **rest}
        self._file.write(("\n" if self._first else ",\n") + json.dumps(event))
        self._first = False

    def _span(self, who: str, name: str, start_ns: int, end_ns: int, args: Mapping[str, Any]) -> None:
        """A span on the actor's track, or beside it when it would not nest or was not run in one go."""
        since_ns, thread = self._running.get(who, (0, -1))
        if thread >= 0:
            args = {**args, "thread": thread}
        if since_ns <= start_ns and self._nesting[who].admits(start_ns, end_ns):
            ts, dur = start_ns / 1000, (end_ns - start_ns) / 1000
            self._put("X", name, cat="run", tid=self._tracks[who], ts=ts, dur=dur, args=args)
        else:
            self._async_span(who, name, start_ns, end_ns, args)

    def _async_span(self, who: str, name: str, start_ns: int, end_ns: int, args: Mapping[str, Any]) -> None:
        self._spans += 1
        common = {"cat": "wait", "id": self._spans, "tid": self._tracks[who]}
        self._put("b", name, ts=start_ns / 1000, args=args, **common)
        self._put("e", name, ts=end_ns / 1000, **common)

    # --- hearing -----------------------------------------------------------------------------------------------------

    def _switched(self, at_ns: int, who: str, told: SchedSwitch) -> None:
        self._running[who] = (at_ns, told.thread - 1)

    def _fault(self, at_ns: int, who: str, done: FaultDone) -> None:
        args = {"address": hex(done.address), "path": done.path}
        self._span(who, f"fault ({done.path})", at_ns - done.duration, at_ns, args)

    def _syscall(self, at_ns: int, who: str, done: SyscallDone) -> None:
        self._span(who, done.name, at_ns - done.duration, at_ns, {})

    def _collapse(self, at_ns: int, who: str, done: CollapseDone) -> None:
        args = {"address": hex(done.address), "status": done.status}
        self._span(who, "collapse", at_ns - done.duration, at_ns, args)

    def _mmap_sem_wait(self, at_ns: int, who: str, wait: MmapSemWait) -> None:
        name = f"mmap_sem {'write' if wait.write else 'read'}"
        self._async_span(who, name, at_ns - wait.wait, at_ns, {"slept": wait.slept})

    def _ipi_send(self, at_ns: int, who: str, send: IpiSend) -> None:
        self._sent[who] = (send.request, at_ns)

    def _ipi_served(self, at_ns: int, who: str, served: IpiServed) -> None:
        args = {"sender": served.sender, "delayed_ns": served.delayed, "reason": served.reason}
        self._span(who, f"IPI {served.kind}", at_ns, at_ns + served.duration, args)
        sender = KHUGEPAGED if served.sender < 0 else f"cpu{served.sender}"
        request, sent_ns = self._sent[sender]
        flow = {"cat": "ipi", "id": f"{sender}.{request}.{who}"}
        self._put("s", "IPI", tid=self._tracks[sender], ts=sent_ns / 1000, **flow)
        self._put("f", "IPI", tid=self._tracks[who], ts=at_ns / 1000, bp="e", **flow)

    def _ipi_done(self, at_ns: int, who: str, done: IpiDone) -> None:
        args = {"targets": done.targets, "last_acker": done.last_acker}
        self._async_span(who, f"IPI wait ({done.kind})", done.sent_at, at_ns, args)

    def _abort(self, at_ns: int, who: str, abort: SpfAbort) -> None:
        args = {"address": hex(abort.address)}
        self._put("i", abort.reason, cat="spf", tid=self._tracks[who], ts=at_ns / 1000, s="t", args=args)

    def _alloc(self, at_ns: int, _who: str, alloc: MmPageAlloc) -> None:
        self._in_flight.add(alloc.pfn)
        self._count(at_ns)

    def _settled(self, at_ns: int, _who: str, page: PageMapped | PageDiscarded) -> None:
        if page.pfn in self._in_flight:
            self._in_flight.remove(page.pfn)
            self._count(at_ns)

    def _count(self, at_ns: int) -> None:
        self._put("C", "transient pages", tid=0, ts=at_ns / 1000, args={"pages": len(self._in_flight)})
