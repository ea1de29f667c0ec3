"""The review mail's two tables beside ours: throughput, gain, each counter, and how far ours are off.

A simulated run is shorter than the mail's 10 s: its rates after the warm-up are scaled to these, and the set-up is
added once, as perf counted it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from kactors.statistics import no_interval
from kactors.studies.effort import Effort
from kactors.studies.published import COUNTERS, MAIL, MAIL_SECONDS, P8, SERIES, X86, MailTable
from kactors.sweep.estimates import gain
from protocols.measurement import Interval, Measurement
from protocols.result import Record
from protocols.scenario import Scenario

BASE, SPF = "classic", "spf-v9"
REASONS: Final = ("spf_pte_lock", "spf_vma_changed")
"""For which nearly all speculations are given up."""
WITHIN: Final = 0.15
"""How far throughput and gain may be off, as a share."""
YES, NO, OPEN = "yes", "no", "open"
SPF_NS_MIN: Final = {X86: 400_000_000, P8: 100_000_000}
"""SPF runs for so much virtual time at least, as its counters are rarer than its records."""
FACTOR: Final = 2.0
"""How far a counter may be off: counters of one run move by more between versions of the series."""


class Line(Record):
    """One figure of the mail, and ours.

    Attributes:
        name: what it is: BASE, SPF, gain, a counter's name, residual, not speculative.
        published: by the mail.
        simulated: ours, with its interval.
        rule: by which it is judged: ``share`` (within 15 %), ``factor`` (within a factor 2), ``zero``; empty: not.
        verdict: ``yes``, ``no``, or ``open``: it is not, but its interval reaches there; empty: not judged.
        others: the least and the most that other versions of the series published; None: nothing.
    """

    name: str
    published: float
    simulated: Interval
    rule: str
    verdict: str
    others: tuple[float, float] | None

    @property
    def error(self) -> float | None:
        """How far ours is off, as a share of the published value; None where that is 0."""
        return self.simulated.mean / self.published - 1 if self.published else None

    @property
    def reaches_out(self) -> bool:
        """It is near enough, and its interval reaches further; that nothing was counted is as near as can be."""
        if self.verdict != YES or self.rule == "zero":
            return False
        low, high = _limits(self.rule, self.published)
        return not (low <= self.simulated.low and self.simulated.high <= high)


class Reason(Record):
    """Which of the two reasons to give up is the larger one, by the mail and by us."""

    published: str
    simulated: str

    @property
    def agree(self) -> bool:
        """They are the same."""
        return self.published == self.simulated


class Table(Record):
    """One machine's table.

    Attributes:
        machine, described: name of its profile, and the mail's words for it.
        lines: the mail's figures.
        reason: what speculations are given up for, mostly.
        collapses: PMD ranges that khugepaged collapsed.
        met: both rates are as exact as was asked for.
        why: what ended the runs that are not, before they were.
        virtual_ns, events: what the runs took, BASE and SPF.
    """

    machine: str
    described: str
    lines: tuple[Line, ...]
    reason: Reason
    collapses: int
    met: bool
    why: tuple[str, ...]
    virtual_ns: tuple[int, int]
    events: tuple[int, int]


class Reproduction(Record):
    """The answer: both tables, with what they were made with."""

    seed: int
    precision: float
    tables: tuple[Table, ...]


def scenarios(seed: int) -> list[Scenario]:
    """Return BASE and SPF on each machine of the mail, the largest machine first, for it takes longest."""
    return [
        Scenario(workload="ebizzy", policy=policy, machine=table.machine, seed=seed)
        for table in reversed(MAIL)
        for policy in (BASE, SPF)
    ]


def reproduce(effort: Effort, spf_ns_min: Mapping[str, int] = SPF_NS_MIN) -> Reproduction:
    """Measure both policies on both machines and return the tables in the mail's order.

    Args:
        effort: how exactly.
        spf_ns_min: by machine, the virtual time that SPF runs at least.
    """
    runs = scenarios(effort.seed)
    measured = effort.measure(runs, [spf_ns_min[run.machine] if run.policy == SPF else 0 for run in runs])
    pairs = list(zip(measured[::2], measured[1::2], strict=True))
    tables = [tell_table(mail, *pair) for mail, pair in zip(MAIL, reversed(pairs), strict=True)]
    return Reproduction(seed=effort.seed, precision=effort.relative, tables=tuple(tables))


def tell_table(mail: MailTable, base: Measurement, spf: Measurement) -> Table:
    """Return one machine's table."""
    counted = ten_seconds_of(spf)
    lines = [*_throughput(mail, base, spf), *_counters(mail, counted), _not_speculative(mail, counted)]
    return Table(
        machine=mail.machine,
        described=mail.described,
        lines=tuple(lines),
        reason=Reason(published=_larger(mail.counters), simulated=_larger(_means(counted))),
        collapses=sum(spf.result.collapses.values()),
        met=base.met and spf.met,
        why=tuple(f"{run.result.policy}: {run.why}" for run in (base, spf) if not run.met),
        virtual_ns=(base.virtual_ns, spf.virtual_ns),
        events=(base.events, spf.events),
    )


def ten_seconds(measured: Measurement, name: str) -> Interval:
    """Return what a run as long as the mail's would count: the rate for 10 s, and the set-up once."""
    # A run that ended at once has no rates.
    scaled = measured.rates.get(name, no_interval(0.0, measured.rate.confidence, 0)).scaled(MAIL_SECONDS)
    once: int = getattr(measured.set_up, name)
    return scaled.model_copy(
        # The residual holds what is under way as well: over a steady stretch that may be less at its end than before.
        update={end: max(getattr(scaled, end), 0.0) + once for end in ("mean", "low", "high")}
    )


def ten_seconds_of(measured: Measurement) -> dict[str, Interval]:
    """Return all that the mail counts, likewise."""
    return {name: ten_seconds(measured, name) for name in (*COUNTERS, "residual")}


def _throughput(mail: MailTable, base: Measurement, spf: Measurement) -> Iterator[Line]:
    rates = [row.rates[mail.machine] for row in SERIES if mail.machine in row.rates]
    gained = gain([spf], [base])
    yield _line("BASE", mail.base_per_s, base.rate, "share", [before for before, _ in rates])
    yield _line("SPF", mail.spf_per_s, spf.rate, "share", [after for _, after in rates])
    yield _line("gain", mail.gain, gained, "share", [after / before for before, after in rates])


def _counters(mail: MailTable, counted: dict[str, Interval]) -> Iterator[Line]:
    for name in COUNTERS:
        told = [row.counters[mail.machine] for row in SERIES if mail.machine in row.counters]
        others = [float(counters[name]) for counters in told if name in counters]
        yield _line(name, mail.counters[name], counted[name], "factor", others)
    yield _line("residual", mail.residual, counted["residual"], "", [])


def not_speculative(counted: Mapping[str, Interval]) -> Interval:
    """Return the share of faults that are not served speculatively, given what was counted, by perf's names.

    The reasons and the residual are not independent: their half-widths add up, so the interval is wide enough.
    """
    parts = [counted[name] for name in (*COUNTERS[2:], "residual")]
    faults = counted["faults"].mean
    return counted["faults"].model_copy(
        update={
            end: sum(getattr(part, end) for part in parts) / faults if faults else 0.0
            for end in ("mean", "low", "high")
        }
    )


def _not_speculative(mail: MailTable, counted: Mapping[str, Interval]) -> Line:
    told = [row.counters[mail.machine] for row in SERIES if mail.machine in row.counters]
    others = [1 - counters["spf"] / counters["faults"] for counters in told]
    return _line("not speculative", mail.not_speculative, not_speculative(counted), "factor", others)


def _line(name: str, published: float, simulated: Interval, rule: str, others: Sequence[float]) -> Line:
    rule = rule if published or not rule else "zero"
    spread = (min(others), max(others)) if others else None
    verdict = judge(rule, published, simulated)
    return Line(name=name, published=published, simulated=simulated, rule=rule, verdict=verdict, others=spread)


def judge(rule: str, published: float, simulated: Interval) -> str:
    """Return whether a figure is near enough to the published one, by ``Line.rule``: yes, no, open; or empty."""
    if not rule:
        return ""
    low, high = _limits(rule, published)
    if low <= simulated.mean <= high:
        return YES
    return OPEN if simulated.low <= high and low <= simulated.high else NO


def _limits(rule: str, published: float) -> tuple[float, float]:
    """Return between what a figure is near enough."""
    return {
        "share": (published * (1 - WITHIN), published * (1 + WITHIN)),
        "factor": (published / FACTOR, published * FACTOR),
        "zero": (0.0, 0.0),
    }[rule]


def _means(counted: dict[str, Interval]) -> dict[str, float]:
    return {name: interval.mean for name, interval in counted.items()}


def _larger(counters: Mapping[str, float]) -> str:
    return max(REASONS, key=lambda name: counters[name]) if any(counters[name] for name in REASONS) else "neither"
