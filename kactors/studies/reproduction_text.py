"""What `kactors reproduce` prints: the mail's tables and ours side by side, with a verdict on each line."""

from __future__ import annotations

import math
from collections.abc import Iterator

from kactors.report.search_report import page
from kactors.report.tables import table
from kactors.report.units import count, duration
from kactors.studies.published import MAIL_SECONDS
from kactors.studies.reproduction import FACTOR, NO, OPEN, WITHIN, YES, Line, Reproduction, Table
from kactors.studies.words import all_of, sentences

HEADERS = ("", "published", "simulated", "from", "to", "off by", "near enough", "other versions of the series")
TITLES = {
    "BASE": "BASE, records/s",
    "SPF": "SPF v9, records/s",
    "gain": "gain, times",
    "not speculative": "not speculative, %",
    "residual": "residual (set-up, single-threaded)",
}
"""What is not a counter, which has perf's name."""


def reproduction_text(answer: Reproduction) -> str:
    """Return both tables and what is to be said of them."""
    parts = [_heading(answer)]
    for told in answer.tables:
        parts += [
            [f" {told.machine}: {told.described}"],
            table(HEADERS, [_row(line) for line in told.lines], indent=" "),
        ]
        parts.append(sentences(_remarks(told)))
    return page([*parts, sentences(_reading(answer))])


def _heading(answer: Reproduction) -> list[str]:
    exactly = f"rates to +- {100 * answer.precision:g} %"
    return [
        f" ebizzy -mTRp, two threads a CPU, as in the review of SPF v9; seed {answer.seed}; {exactly}.",
        f" Counters as of the mail's {MAIL_SECONDS} s: rates after the warm-up, scaled to it, and the set-up once.",
    ]


def _row(line: Line) -> list[str]:
    scale = 100 if line.name == "not speculative" else 1
    fine = line.name in ("gain", "not speculative")
    others = " to ".join(dict.fromkeys(_figure(scale * each, fine) for each in line.others or ()))
    ends = [line.simulated.low, line.simulated.high]
    title = TITLES.get(line.name, line.name if line.name in ("faults", "spf") else f"pagefault:{line.name}")
    return [
        title,
        _figure(scale * line.published, fine),
        _figure(scale * line.simulated.mean, fine),
        *(_figure(scale * end, fine) if math.isfinite(end) else "?" for end in ends),
        "" if line.error is None else f"{100 * line.error:+.0f} %",
        line.verdict.upper() if line.verdict == NO else line.verdict,
        others,
    ]


def _figure(value: float, fine: bool) -> str:
    return f"{value:.2f}" if fine else count(value)


def _remarks(told: Table) -> Iterator[str]:
    verdict = "as published" if told.reason.agree else f"published: {told.reason.published}"
    yield f"The larger reason to give up is {told.reason.simulated} ({verdict})."
    if not told.met:
        yield f"Not as exact as asked for: {'; '.join(told.why)}."
    took, made = (list(map(duration, told.virtual_ns)), list(map(count, told.events)))
    yield f"BASE ran for {took[0]} of virtual time ({made[0]} deliveries), SPF for {took[1]} ({made[1]})."


def _reading(answer: Reproduction) -> Iterator[str]:
    verdicts = [line.verdict for told in answer.tables for line in told.lines if line.verdict]
    yield (
        f"{verdicts.count(YES)} of {len(verdicts)} figures are near enough: throughput and gain within"
        f" {100 * WITHIN:.0f} %, counters within a factor {FACTOR:g}, nothing where nothing was counted."
        f" {verdicts.count(OPEN)} are open: the interval reaches there, and a longer run would tell (--precision)."
    )
    vague = [f"{line.name} on {told.machine}" for told in answer.tables for line in told.lines if line.reaches_out]
    if vague:
        yield f"Near enough, but with intervals that reach further than that: {all_of(vague)}."
    yield (
        "The last column says what other versions of the series published for the same two machines: so much do such"
        " figures move, and a counter of one run more than a mean of a hundred."
    )
    if not any(told.collapses for told in answer.tables):
        yield (
            "spf_pmd_changed stays 0 because nothing collapses: no area of ebizzy -mTRp is MADV_HUGEPAGE. Where"
            " khugepaged does collapse, vm_sequence is odd before the PMD is cleared (E3, E4), so that spf_vma_changed"
            " (C12.i) counts first."
        )
