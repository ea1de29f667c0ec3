"""Speculative page faults, version 12 (Laurent Dufour, 16 April 2019): RCU and mm_seq in the place of mm_rb_lock.

As version 11 otherwise. The VMA still has its reference count, a shared word that each fault writes twice.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import ClassVar

from pydantic import Field

from kactors.fault_context import FaultContext
from kactors.fault_policy import Check
from kactors.options import Options
from kactors.policies.dropped import no_section
from kactors.policies.spf_v9 import SpfOptions
from kactors.policies.spf_v11 import SpfV11
from kactors.policies.vma_lookup import LOOKUPS, VMA_LOOKUP_TEXT, UnderRcu, VmaLookup
from protocols.vma import VmaSnapshot


class SpfRcuOptions(SpfOptions):
    """As version 9's, but for what version 12 does by itself."""

    vma_lookup: VmaLookup = Field("rcu", description=VMA_LOOKUP_TEXT)


class SpfRcu(SpfV11):
    """SPF that walks the tree under RCU, with a sequence lock and a reference."""

    name: ClassVar[str] = "spf-rcu"
    checks: ClassVar[tuple[Check, ...]] = (
        Check("lookup_rcu", "C1", "no VMA is freed between the walk and the reference", {"lookup_section": no_section}),
        *SpfV11.checks,
    )
    options_type: ClassVar[type[Options]] = SpfRcuOptions
    options: SpfRcuOptions = SpfRcuOptions()

    async def get_vma(self, cpu: FaultContext, address: int) -> VmaSnapshot | None:
        """C1 of v12: walk under RCU, reference, and once more if the tree has changed."""
        if self.options.vma_lookup == "rcu":
            return await UnderRcu(self.lookup_section).get(cpu, address)
        return await LOOKUPS[self.options.vma_lookup].get(cpu, address)

    def lookup_section(self, cpu: FaultContext) -> AbstractContextManager[None]:
        """C1 of v12: an RCU read section around walk and reference."""
        return cpu.rcu_read_lock()
