"""What may be done to a simulation while it runs. A session is its scenario and the log of these."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from protocols.scenario import BoundScope, OnLimit
from protocols.service.base import Natural, Params, Positive

CpuNumber = Annotated[int, Field(ge=0, le=4095)]
DurationNs = Annotated[int, Field(ge=1, le=2**40)]
AddressBytes = Annotated[int, Field(ge=0, le=2**48 - 1)]


class Tagged(Params):
    """What has a tag that tells its kind. The tag is always said, also where only keys that were given are.

    So ``model_dump(exclude_unset=True)`` is what a client sends and a log keeps: SetBound's keys that were not given
    stay away, and the tag does not.
    """

    def model_post_init(self, _context: Any) -> None:
        """Count the tag as given."""
        self.model_fields_set.update({"kind", "command"}.intersection(type(self).model_fields))


class InjectFault(Tagged):
    """A thread on a CPU touches an address, once."""

    kind: Literal["fault"] = "fault"
    cpu: CpuNumber
    address: AddressBytes
    write: bool = True


class InjectMunmap(Tagged):
    """A thread on a CPU unmaps [address, address + length)."""

    kind: Literal["munmap"] = "munmap"
    cpu: CpuNumber
    address: AddressBytes
    length: Positive


class InjectCollapse(Tagged):
    """khugepaged looks at the PMD range that holds the address next, and collapses it where its checks allow."""

    kind: Literal["collapse"] = "collapse"
    address: AddressBytes


class InjectMemoryPressure(Tagged):
    """Somebody outside takes pages of the zone, as many as there are up to ``pages``, and frees them after a while."""

    kind: Literal["memory_pressure"] = "memory_pressure"
    pages: Positive
    duration_ns: DurationNs


class InjectStarvedCpu(Tagged):
    """The host takes a CPU away: for the time it runs nothing and answers no IPI."""

    kind: Literal["starved_cpu"] = "starved_cpu"
    cpu: CpuNumber
    duration_ns: DurationNs


Injection = Annotated[
    InjectFault | InjectMunmap | InjectCollapse | InjectMemoryPressure | InjectStarvedCpu,
    Field(discriminator="kind"),
]


class Inject(Tagged):
    """Let something happen to the machine, now."""

    command: Literal["inject"] = "inject"
    injection: Injection


class SetBound(Tagged):
    """Change bounds from here on. A key that is not given stays as it is; None lifts the bound."""

    command: Literal["set_bound"] = "set_bound"
    spf_inflight_max: Positive | None = None
    spf_inflight_scope: BoundScope = "mm"
    on_limit: Annotated[OnLimit, Field(strict=False)] = OnLimit.WAIT
    transient_pages_max: Natural | None = None
    ipi_wait_max_ns: Natural | None = None


class SetPolicy(Tagged):
    """Serve what begins from here on by another fault policy; what is under way ends under the old one."""

    command: Literal["set_policy"] = "set_policy"
    policy: str


Command = Annotated[Inject | SetBound | SetPolicy, Field(discriminator="command")]
COMMAND: TypeAdapter[Inject | SetBound | SetPolicy] = TypeAdapter(Command)


class Position(Params):
    """Where a simulation stands: deliveries made, virtual time, and the hash over all deliveries."""

    events: Natural
    now_ns: Natural
    fingerprint: str


class Entry(Params):
    """One command in a session's log, with where the simulation stood when it was carried out."""

    at: Position
    command: Command


class Until(Params):
    """A predicate: step until a quantity of the running simulation compares so to a value."""

    quantity: Literal[
        "faults",
        "spf",
        "spf_aborts",
        "records",
        "ipi_waits",
        "ipi_wait_max_ns",
        "transient_pages",
        "transient_pages_peak",
        "pages_wasted",
        "free_pages",
        "collapses",
        "oom_kills",
    ]
    op: Literal[">=", "<=", "=="] = ">="
    value: Natural
