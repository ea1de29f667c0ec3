"""What happens to the machine from outside: its hypervisor, its administrator. Said while a simulation is driven."""

from __future__ import annotations

from typing import Final

from protocols.base import Address, Count, Message, Ns
from protocols.scenario import BoundScope, OnLimit


class StealCpu(Message, sender=("host",), receiver=("cpu",)):
    """The hypervisor takes the CPU away for ``duration``: it computes nothing and answers no IPI, irqs on or off."""

    duration: Ns


class MmUsers(Message, sender=("host",), receiver=("cpu",)):
    """clone, as the CPU of the process's first thread sees it: from now on the process has ``mm_users`` threads."""

    mm_users: Count


class CollapseRange(Message, sender=("host",), receiver=("khugepaged",)):
    """Look at the PMD range of ``address`` next, whatever the scan position, and collapse it if its checks allow."""

    address: Address


class SetSpeculationBound(Message, sender=("host",), receiver=("mm", "cpu")):
    """From now on at most ``inflight_max`` speculations are in flight (None: any number); those who wait try again."""

    inflight_max: Count | None
    scope: BoundScope
    on_limit: OnLimit


class EndPressure(Message, sender=("host",), receiver=("host",)):
    """To oneself: the time is over for which pages were taken."""


END_PRESSURE: Final = EndPressure()
