"""Mechanisms and suspects of the model that can be made free or switched off, to see what hangs on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from kactors.policies.ablation import WITHOUT
from protocols.scenario import OptionValue, Scenario

FOREVER_NS: Final = 10**9
"""A time slice that never ends."""


@dataclass(frozen=True)
class Switch:
    """One mechanism without which a scenario can be run.

    Attributes:
        name: in a few words.
        off: what "off" means, in a sentence.
        costs: parameters of the machine that are replaced.
        dropped: checks that spf-v9 goes without.
    """

    name: str
    off: str
    costs: Mapping[str, OptionValue] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()

    def turn_off(self, scenario: Scenario) -> Scenario:
        """Return the scenario without it."""
        policy = scenario.policy
        if self.dropped and policy == "spf-v9":
            policy = f"{policy}{WITHOUT}{'+'.join(self.dropped)}"
        return scenario.model_copy(update={"costs": {**scenario.costs, **self.costs}, "policy": policy})


SPINNING: Final = Switch(
    "optimistic spinning", "a writer that finds mmap_sem owned sleeps at once", {"rwsem_spins": False}
)
WAKE_UPS: Final = Switch(
    "wake-ups",
    "waking costs the waker nothing, and an idle CPU runs the woken thread at once; the switch to it still costs",
    {"wake_ns": 0, "idle_exit_ns": 0, "idle_poll_exit_ns": 0},
)
IPIS: Final = Switch(
    "IPIs and tlbie",
    "interrupts are sent, delivered and handled in no time, and so is a tlbie; local flushes still cost",
    {"ipi_send_ns": 0, "ipi_exit_ns": 0, "ipi_delivery_ns": 0, "ipi_handler_ns": 0, "tlbie_ns": 0},
)
LINES: Final = Switch(
    "line transfers",
    "a cache line moves between CPUs in no time; atomic operations and queues at the line stay",
    {"line_core_ns": 0, "line_cache_ns": 0, "line_socket_ns": 0, "line_remote_ns": 0},
)
CLEARING: Final = Switch("page clearing", "a fresh page is cleared in no time", {"clear_page_ns": 0})
PREEMPTION: Final = Switch("preemption", "a time slice never ends", {"slice_ns": FOREVER_NS})
WRITER_SECTION: Final = Switch(
    "writer section",
    "what mmap and munmap compute beside page tables and flushes takes no time",
    {"map_ns": 0, "detach_ns": 0, "unmap_ns": 0, "vma_adjust_ns": 0},
)
PTE_LOCK: Final = Switch(
    "PTE lock", "each PTE has a lock of its own, so nobody finds it taken", {"pte_lock_scope": "entry"}
)
VMA_CHANGES: Final = Switch(
    "VMA changes",
    "spf-v9 never looks at vm_sequence; that is safe where threads keep to pages of their own, as here",
    dropped=("sequence_odd", "sequence_recheck", "first_vma_check", "last_vma_check"),
)

MECHANISMS: Final = (SPINNING, WAKE_UPS, IPIS, LINES, CLEARING, PREEMPTION)
"""What the match with published and measured figures may hang on."""
SUSPECTS: Final = (PTE_LOCK, VMA_CHANGES, CLEARING, WRITER_SECTION, IPIS, WAKE_UPS, LINES)
"""What may make the gain at 80 CPUs smaller than at 16."""
