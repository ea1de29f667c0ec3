"""How each command is carried out: checked against the machine first, then said by the host or set at once."""

from __future__ import annotations

from kactors.cpu import Cpu
from kactors.engine.errors import UsageError
from kactors.policies import load_policy
from kactors.run import Machine
from kactors.syscalls import UserThread
from protocols.scenario import Bounds
from protocols.service.commands import (
    Inject,
    InjectCollapse,
    InjectFault,
    InjectMemoryPressure,
    InjectMunmap,
    InjectStarvedCpu,
    SetBound,
    SetPolicy,
)

SPECULATION_BOUNDS = frozenset({"spf_inflight_max", "spf_inflight_scope", "on_limit"})
THREADS_MAX = 1 << 19
"""Threads have tags below khugepaged's, with room to spare."""


class Commands:
    """Carries out commands on one machine.

    Args:
        machine: its present bounds are the scenario's.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._system = machine.system
        self.bounds: Bounds = machine.scenario.bounds

    def carry_out(self, command: Inject | SetBound | SetPolicy) -> None:
        """Carry out a command now.

        Raises:
            UsageError: it cannot be carried out; nothing has changed.
        """
        if isinstance(command, SetPolicy):
            self._system.set_policy(load_policy(command.policy))
        elif isinstance(command, SetBound):
            self._set_bound(command)
        else:
            self._inject(command)

    def _inject(self, command: Inject) -> None:
        wanted, system = command.injection, self._system
        if isinstance(wanted, InjectFault):
            self._fault(wanted)
        elif isinstance(wanted, InjectMunmap):
            self._munmap(wanted)
        elif isinstance(wanted, InjectCollapse):
            system.outside().collapse(system.khugepaged, wanted.address)
        elif isinstance(wanted, InjectMemoryPressure):
            system.outside().take_pages(wanted.pages, wanted.duration_ns)
        elif isinstance(wanted, InjectStarvedCpu):
            cpu = self._cpu(wanted.cpu)
            system.outside().steal_cpu(cpu, wanted.duration_ns)

    def _fault(self, wanted: InjectFault) -> None:
        async def touch(thread: UserThread) -> None:
            await thread.touch(wanted.address, write=wanted.write)

        self._system.run_thread(self._thread_cpu(wanted.cpu), touch)

    def _munmap(self, wanted: InjectMunmap) -> None:
        page_size = self._system.machine.page_size
        if wanted.address % page_size:
            raise UsageError(f"munmap: address {wanted.address:#x} is not at a page's border ({page_size} bytes)")
        if wanted.address + wanted.length > 1 << 48:
            raise UsageError(f"munmap: {wanted.address:#x} + {wanted.length} is beyond user space (2**48 bytes)")

        async def munmap(thread: UserThread) -> None:
            await thread.munmap(wanted.address, wanted.length)

        self._system.run_thread(self._thread_cpu(wanted.cpu), munmap)

    def _cpu(self, number: int) -> Cpu:
        cpus = self._system.cpus
        if number >= len(cpus):
            raise UsageError(f"cpu {number}: no such CPU; there are 0 to {len(cpus) - 1}")
        return cpus[number]

    def _thread_cpu(self, number: int) -> Cpu:
        cpu = self._cpu(number)
        if cpu.was_killed(0):
            raise UsageError(f"cpu {number}: the process was killed by the OOM killer and starts no thread")
        if len(self._system.users) >= THREADS_MAX:
            raise UsageError(f"the process has {len(self._system.users)} threads, as many as there may be")
        return cpu

    def _set_bound(self, command: SetBound) -> None:
        """Only what is named changes; what concerns an actor is said to it."""
        given = command.model_fields_set - {"command"}
        self.bounds = self.bounds.model_copy(update={name: getattr(command, name) for name in given})
        self._machine.transient.pages_max = self.bounds.transient_pages_max
        self._machine.ipi.wait_max_ns = self.bounds.ipi_wait_max_ns
        if given & SPECULATION_BOUNDS:
            system = self._system
            for mm in system.mms:
                system.outside().bound_speculation(mm, system.cpus, self.bounds)
