"""will-it-scale: one test a file, under its own name."""

from __future__ import annotations

from kactors.workloads.base import Workload
from kactors.workloads.will_it_scale.brk1 import Brk1
from kactors.workloads.will_it_scale.context_switch1 import ContextSwitch1
from kactors.workloads.will_it_scale.malloc1 import Malloc1
from kactors.workloads.will_it_scale.mmap1 import Mmap1
from kactors.workloads.will_it_scale.page_fault1 import PageFault1
from kactors.workloads.will_it_scale.page_fault2 import PageFault2
from kactors.workloads.will_it_scale.page_fault3 import PageFault3

TESTS: tuple[type[Workload], ...] = (PageFault1, PageFault2, PageFault3, Malloc1, Brk1, Mmap1, ContextSwitch1)

__all__ = ["TESTS"]
