"""What threads do: benchmarks, recordings, one's own programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kactors.engine.errors import UsageError
from kactors.workloads.base import Workload
from kactors.workloads.collapse import Collapse
from kactors.workloads.ebizzy import Ebizzy
from kactors.workloads.litmus import SCENES, TIMED
from kactors.workloads.multi_fault import MultiFault
from kactors.workloads.pft import Pft
from kactors.workloads.program import Program
from kactors.workloads.recording import Replay
from kactors.workloads.sparse import Sparse
from kactors.workloads.spf_test import SpfTest
from kactors.workloads.will_it_scale import TESTS as WILL_IT_SCALE

BENCHMARKS: tuple[type[Workload], ...] = (*WILL_IT_SCALE, Pft, MultiFault, SpfTest, Sparse)
LISTED: tuple[type[Workload], ...] = (Ebizzy, Collapse, Replay, *BENCHMARKS, *TIMED, *SCENES.values())
WORKLOADS: dict[str, type[Workload]] = {workload.name: workload for workload in LISTED}

__all__ = ["WORKLOADS", "Program", "Workload", "load_workload"]


def load_workload(name: str, options: Mapping[str, Any]) -> Workload:
    """Return the workload of that name with its options.

    Raises:
        UsageError: no such workload or option, or a value out of range.
    """
    workload = WORKLOADS.get(name)
    if workload is None:
        raise UsageError(f"there is no workload {name}; there are {', '.join(WORKLOADS)}")
    return workload.from_options(options)
