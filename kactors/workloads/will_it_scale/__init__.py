"""will-it-scale: one test a file, under its own name."""

from __future__ import annotations

from kactors.workloads.base import Workload
from kactors.workloads.will_it_scale.page_fault1 import PageFault1

TESTS: tuple[type[Workload], ...] = (PageFault1,)

__all__ = ["TESTS"]
