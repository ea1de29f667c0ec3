"""For which figures each machine is known, and how to simulate each: what its profile may be held against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from kactors.recordings.times import Timing
from kactors.report.units import duration, size
from kactors.studies.published import EBIZZY_ZEN4, JAVAC_ZEN4, MAIL, PAGE_FAULT1_ZEN4, PFT_2021, SRCU_2014
from kactors.workloads.recording import open_recording
from protocols.scenario import OptionValue, Scenario

Unit = Literal["a second", "times", "share", "ns"]
Options = tuple[tuple[str, OptionValue], ...]

SRCU_SECONDS: Final = 60
SEEDS: Final = 3
"""Of a figure that comes from runs of a fixed length: their spread is its interval."""
LONE_FAULT_NS: Final = {"skylake-2s-112": 1740, "skylake-4s-192": 1740, "skylake-2s-72": 1740, "rome-2s-256": 750}
"""A minor anonymous fault of 4 KiB, one thread, loop included; Ivy Bridge's is a row of 2014."""
PAGE_FAULT1_ALONE: Final[Options] = (("memsize", 8 << 20), ("rounds", 1), ("phase", "zero"))
PAGE_FAULT1: Final[Options] = (("memsize", 4 << 20),)
"""The program's area is 128 MiB, of which a round takes 0.7 million deliveries. A thread alone does all rounds alike,
so one of a sixteenth is as fast to 1 %; several that munmap at different times take many rounds."""
MULTI_FAULT_ROUNDS: Final = {"ivb-ep-40": 2, "ivb-ex-120": 1}
"""So often each thread touches and drops its pages: a span of time would end in another part of the round under either
policy, as all threads begin in step. A round of 60 threads takes 0.8 million deliveries."""
PFT_NS: Final = 1_000_000
RECORDINGS: Final = Path(__file__).parents[2] / "recordings"


@dataclass(frozen=True)
class Load:
    """What runs for a figure.

    Attributes:
        machine: name of the profile.
        workload: what runs.
        policy: under which.
        options: of the workload, its threads among them.
        policy_options: of the policy.
        until_ns: virtual time of each of several runs; None: to their end.
        seeds: 1: one run that goes on to the precision asked for; else so many, as long as they are.
    """

    machine: str
    workload: str
    policy: str
    options: Options
    policy_options: Options = ()
    until_ns: int | None = None
    seeds: int = 1

    def scenarios(self, seed: int, costs: Mapping[str, int] | None = None) -> list[Scenario]:
        """Return what is run.

        Args:
            seed: of the first run; the others count on from there.
            costs: values of the profile to replace.
        """
        first = Scenario(
            workload=self.workload,
            options=dict(self.options),
            machine=self.machine,
            policy=self.policy,
            policy_options=dict(self.policy_options),
            seed=seed,
            costs=dict(costs or {}),
            until_ns=self.until_ns,
        )
        return [first.model_copy(update={"seed": seed + number}) for number in range(self.seeds)]

    @property
    def how(self) -> str:
        """How long it runs, in a few words."""
        options = dict(self.options)
        area = [f"areas of {size(int(options['memsize']))}"] if "memsize" in options else []
        rounds = [f"rounds: {options['rounds']}"] if "rounds" in options else []
        first = [f"the first {duration(self.until_ns)}"] if self.until_ns is not None else []
        seeds = [f"{self.seeds} seeds"] if self.seeds > 1 else []
        return ", ".join([*seeds, *first, *rounds, *area])


@dataclass(frozen=True)
class Target:
    """One figure.

    Attributes:
        name: what it is, in a few words.
        published: its value.
        source: where that stands.
        of: what is run for it.
        over: what is run as well where it is a gain: the rate of the one by the rate of the other.
        unit: of its value; a ``share`` is that of the faults that are not speculative.
        timing: of a recording: the time whose median it is.
    """

    name: str
    published: float
    source: str
    of: Load
    over: Load | None = None
    unit: Unit = "a second"
    timing: Timing | None = None

    @property
    def loads(self) -> tuple[Load, ...]:
        """All that is run for it."""
        return (self.of,) if self.over is None else (self.of, self.over)


def targets_of(machine: str) -> list[Target]:
    """Return the figures that a machine is known for; none for most.

    A recording that is not there, as beside a package that was installed without, has none either.
    """
    return [target for target in (*_rates(), *_pairs()) if target.of.machine == machine] + list(_recorded(machine))


def lacking(machine: str) -> Sequence[str]:
    """Return the recordings whose figures the machine is known for, and which are not there."""
    return [path.name for path in _recordings(machine) if not path.exists()]


def _rates() -> Iterator[Target]:
    for table in MAIL:
        threads = 2 * int(table.described.partition(" CPUs")[0])
        base, spf = (_load(table.machine, "ebizzy", threads, policy) for policy in ("classic", "spf-v9"))
        yield _rate(base, table.base_per_s, table.source)
        yield _rate(spf, table.spf_per_s, table.source)
        name = f"{_name(spf)}: faults not speculative"
        yield Target(name, table.not_speculative, table.source, spf, unit="share")
    for measured, workload in ((EBIZZY_ZEN4, "ebizzy"), (PAGE_FAULT1_ZEN4, "page_fault1")):
        for threads in measured.rates:
            load = _load(measured.machine, workload, threads, "per-vma-6.15")
            yield _rate(load, measured.mean(threads), measured.source)
    for machine, fault_ns in LONE_FAULT_NS.items():
        source = "arithmetic on published rates: a minor fault with one thread, loop included"
        yield _rate(_load(machine, "page_fault1", 1, "classic"), 1e9 / fault_ns, source)


def _pairs() -> Iterator[Target]:
    for row in SRCU_2014:
        options: Options = (("t", row.threads), ("rounds", MULTI_FAULT_ROUNDS[row.machine]))
        base, spf = (
            Load(row.machine, "multi-fault", policy, options, seeds=SEEDS) for policy in ("classic", "spf-srcu")
        )
        yield _rate(base, row.base / SRCU_SECONDS, row.source)
        yield _rate(spf, row.spf / SRCU_SECONDS, row.source)
        yield Target(f"{_name(spf)} by classic", row.gain, row.source, spf, base, unit="times")
    without, paired = (
        Load(
            PFT_2021.machine,
            "pft",
            "spf-2021",
            (("t", PFT_2021.threads),),
            (("vma_atomics", atomics),),
            until_ns=PFT_NS,
            seeds=SEEDS,
        )
        for atomics in (0, 1)
    )
    name = f"{_name(paired)}: an atomic pair more by none"
    yield Target(name, PFT_2021.left, PFT_2021.source, paired, without, unit="times")


def _recorded(machine: str) -> Iterator[Target]:
    for path in _recordings(machine):
        if not path.exists():
            continue
        times = open_recording(str(path), None, None).measured.times
        load = Load(machine, "recording", JAVAC_ZEN4.policy, (("file", str(path)),))
        for timing in JAVAC_ZEN4.timings:
            name = f"{path.name.partition('.')[0]}, median of {timing.value}"
            yield Target(name, times[timing].p50_ns, JAVAC_ZEN4.source, load, unit="ns", timing=timing)


def _recordings(machine: str) -> list[Path]:
    return [RECORDINGS / JAVAC_ZEN4.file] if machine == JAVAC_ZEN4.machine else []


def _rate(load: Load, per_s: float, source: str) -> Target:
    return Target(_name(load), per_s, source, load)


def _load(machine: str, workload: str, threads: int, policy: str) -> Load:
    if workload != "page_fault1":
        return Load(machine, workload, policy, (("t", threads),))
    if threads == 1:
        return Load(machine, workload, policy, (("t", 1), *PAGE_FAULT1_ALONE), seeds=SEEDS)
    return Load(machine, workload, policy, (("t", threads), *PAGE_FAULT1))


def _name(load: Load) -> str:
    threads = dict(load.options)["t"]
    return f"{load.workload}, {threads} thread{'s' if threads != 1 else ''}, {load.policy}"
