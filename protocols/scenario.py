"""A scenario: everything that a run depends on, besides its choices. One TOML file, or one Python object."""

from __future__ import annotations

import enum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

OptionValue = bool | int | str


class OnLimit(enum.StrEnum):
    """What happens to a speculation at ``bounds.spf_inflight_max``.

    ``wait``: it sleeps until one ends, then looks again: this bounds the transient pages.
    ``classic``: it takes the classic path, which allocates before it takes the PTE lock as well: this does *not*
    bound them. ``stop``: the run stops with BoundExceeded.
    """

    WAIT = "wait"
    CLASSIC = "classic"
    STOP = "stop"


BoundScope = Literal["machine", "mm", "cpu", "address"]
"""Of which speculations ``bounds.spf_inflight_max`` bounds the number: all, a process's, a CPU's, a page's."""


class Bounds(BaseModel):
    """Limits that a scenario sets; None is no limit.

    ``transient_pages_max`` and ``ipi_wait_max_ns`` stop the run as ``bound`` when they are exceeded.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    spf_inflight_max: Annotated[int, Field(ge=1)] | None = None
    spf_inflight_scope: BoundScope = "mm"
    on_limit: OnLimit = OnLimit.WAIT
    transient_pages_max: Annotated[int, Field(ge=0)] | None = None
    ipi_wait_max_ns: Annotated[int, Field(ge=0)] | None = None


Unsigned = Annotated[int, Field(ge=0, le=(1 << 32) - 1)]
"""What sysfs takes for an unsigned int."""


class Khugepaged(BaseModel):
    """khugepaged's settings, by their names in /sys/kernel/mm/transparent_hugepage; 0 ms: it does not run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scan_sleep_millisecs: Unsigned = 0
    takes_cpu: bool = False
    """It looks through page tables, copies and frees on a CPU, in turns with the threads there; else only copying takes
    time, and no CPU's."""
    pages_to_scan: Annotated[Unsigned, Field(ge=1)] = 1
    """Pages that it looks at between two sleeps, rounded up to PMD ranges."""
    max_ptes_none: Annotated[int, Field(ge=0, le=511)] = 511
    fault_huge: bool = False
    """Serve the first fault of a MADV_HUGEPAGE range with a huge page (A6)."""


class Scenario(BaseModel):
    """What runs on what, under which policy.

    Raises:
        pydantic.ValidationError: an unknown key or a value out of range; the message names the key.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    workload: str = "ebizzy"
    options: dict[str, OptionValue] = Field(default_factory=dict)
    """The workload's own options, by its program's names."""
    policy: str = "spf-v9"
    policy_options: dict[str, OptionValue] = Field(default_factory=dict)
    """The policy's own options, by name."""
    machine: str = "x86-vm-16"
    costs: dict[str, OptionValue] = Field(default_factory=dict)
    """Values of the machine profile to replace, by name."""
    cpus: Annotated[int, Field(ge=1, le=4096)] | None = None
    threads: Annotated[int, Field(ge=1, le=65536)] | None = None
    traced: bool = False
    """perf records the tracepoints that a recording holds: each costs the machine's ``tracing_ns`` where it happens."""
    seed: int = 1
    until_ns: Annotated[int, Field(ge=1)] | None = None
    events_max: Annotated[int, Field(ge=1)] | None = None
    bounds: Bounds = Field(default_factory=Bounds)
    khugepaged: Khugepaged = Field(default_factory=Khugepaged)
