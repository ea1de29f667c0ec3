"""`kactors validate` as text: one row a duration, recorded and simulated side by side."""

from __future__ import annotations

from kactors.recordings import Distribution
from kactors.report.finding import finding
from kactors.report.tables import table
from kactors.report.units import count, duration
from kactors.studies.validate import JUDGED_FROM, P50_FACTOR_MAX, P99_FACTOR_MAX, CountRow, TimeRow, Validation

HEADERS = ("recorded | simulated", "samples", "p50", "p90", "p99", "p50 ratio", "p99 ratio", "target")
VERDICTS = {None: "-", True: "met", False: "missed"}


def validation_text(validation: Validation) -> str:
    """Return the report, with a newline at its end."""
    recording, result = validation.recording, validation.result
    how = f"seed {result.scenario.seed}, each tracepoint {duration(validation.tracing_ns)}"
    span = validation.span
    lines = [
        f"{recording.source}: process {recording.pid} ({recording.comm}), {len(recording.threads)} threads",
        f"simulated on {result.machine} under {result.policy}, {how}",
        "",
        *table(HEADERS, [_time_cells(row) for row in validation.times]),
        "",
        *table(("counts", "recorded", "simulated", "ratio"), [_count_cells(row) for row in validation.counts]),
        "",
        f"  span  {duration(span.recorded)} | {duration(span.simulated)}, ratio {_ratio(span.ratio)}",
        "",
        *_verdict(validation),
        *(f"  note  {note}" for note in validation.notes),
        *finding(result.stop, result.virtual_ns),
    ]
    return "\n".join(lines) + "\n"


def _verdict(validation: Validation) -> list[str]:
    judged = validation.judged
    met = sum(row.within is True for row in judged)
    rule = f"p50 within a factor {P50_FACTOR_MAX:g} and p99 within {P99_FACTOR_MAX:g}"
    return [
        f"  {met} of {len(judged)} durations with more than {JUDGED_FROM - 1} recorded samples meet the target: {rule}"
    ]


def _time_cells(row: TimeRow) -> list[str]:
    one, other = row.recorded, row.simulated
    return [
        row.name,
        f"{count(one.count)} | {count(other.count)}",
        *(f"{_time(one, ns)} | {_time(other, simulated_ns)}" for ns, simulated_ns in _percentiles(one, other)),
        _ratio(row.ratio_p50),
        _ratio(row.ratio_p99),
        VERDICTS[row.within],
    ]


def _percentiles(one: Distribution, other: Distribution) -> list[tuple[int, int]]:
    return [(one.p50_ns, other.p50_ns), (one.p90_ns, other.p90_ns), (one.p99_ns, other.p99_ns)]


def _time(of: Distribution, ns: int) -> str:
    return duration(ns) if of.count else "-"


def _count_cells(row: CountRow) -> list[str]:
    return [row.name, count(row.recorded), count(row.simulated), _ratio(row.ratio)]


def _ratio(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}"
