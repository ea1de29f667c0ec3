"""Interrupts that are switched off are switched on again, and nobody sleeps or waits for an IPI's acks in between."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from kactors.engine.observer import Finding, Hearing
from kactors.observers.properties.base import Property
from protocols.base import Tracepoint
from protocols.tracepoints import (
    FaultDone,
    IpiSend,
    IrqDisable,
    IrqEnable,
    MightSleep,
    MmapSemWait,
    MmPageAlloc,
    SyscallDone,
)


class IrqsBalanced(Property):
    """local_irq_disable and local_irq_enable pair up, and what needs interrupts does not happen between them.

    With interrupts off (C8, C12) a CPU answers no IPI (F3, F4). It must therefore wait for no other CPU's ack, which
    may wait for this CPU's; nor sleep for mmap_sem (A2), a VMA's readers (H8) or memory (G3: C11 has interrupts on),
    for whoever runs next would inherit it; nor return to user mode (A1).
    """

    name: ClassVar[str] = "irqs_balanced"

    def __init__(self) -> None:
        self._off: dict[str, str] = {}

    def tracepoints(self) -> Mapping[type[Tracepoint], Hearing]:
        """Hear both ends of each section, and what must not lie in one."""
        return {
            IrqDisable: self._disabled,
            IrqEnable: self._enabled,
            FaultDone: self._fault_done,
            SyscallDone: self._syscall_done,
            MightSleep: self._might_sleep,
            MmapSemWait: self._mmap_sem,
            MmPageAlloc: self._alloc,
            IpiSend: self._ipi,
        }

    def finish(self, at_ns: int) -> Finding:
        """At the end all CPUs take interrupts."""
        for who in sorted(self._off):
            return self._told(at_ns, who, "has ended all its threads")
        return None

    def _disabled(self, at_ns: int, who: str, disabled: IrqDisable) -> Finding:
        finding = self._told(
            at_ns, who, f"disables them again for {disabled.path}: the first enabling ends both sections"
        )
        self._off[who] = disabled.path
        return finding

    def _enabled(self, at_ns: int, who: str, _enabled: IrqEnable) -> Finding:
        if self._off.pop(who, None) is not None:
            return None
        return self.violated(f"{who} enables interrupts at {at_ns} ns, which are on")

    def _fault_done(self, at_ns: int, who: str, _done: FaultDone) -> Finding:
        return self._told(at_ns, who, "returns from a fault to user mode")

    def _syscall_done(self, at_ns: int, who: str, done: SyscallDone) -> Finding:
        return self._told(at_ns, who, f"returns from {done.name} to user mode")

    def _might_sleep(self, at_ns: int, who: str, sleep: MightSleep) -> Finding:
        return self._told(at_ns, who, f"may sleep for {sleep.why}: sleeping function called from invalid context")

    def _mmap_sem(self, at_ns: int, who: str, wait: MmapSemWait) -> Finding:
        mode = "writing" if wait.write else "reading"
        return self._told(at_ns, who, f"takes mmap_sem for {mode}: sleeping function called from invalid context")

    def _alloc(self, at_ns: int, who: str, _alloc: MmPageAlloc) -> Finding:
        return self._told(at_ns, who, "allocates a page, for which it may have to reclaim (__GFP_DIRECT_RECLAIM)")

    def _ipi(self, at_ns: int, who: str, sent: IpiSend) -> Finding:
        return self._told(at_ns, who, f"waits for {sent.targets} acks of a {sent.kind} IPI (smp_call_function_many)")

    def _told(self, at_ns: int, who: str, what: str) -> Finding:
        path = self._off.get(who)
        return None if path is None else self.violated(f"with irqs off in {path}, {who} {what} (at {at_ns} ns)")
