"""Measured rates as text: never a mean without its interval, in the form that `perf stat -r` gives it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from kactors.report.command import title
from kactors.report.run_report import report
from kactors.report.tables import table
from kactors.report.units import count, duration
from protocols.measurement import Estimate, Interval, Measurement

NOISE = 0.0005
"""CPU time below this share is not worth a column."""
COMPARED = ("policy", "throughput", "", "gain", "", "faults/s", "", "aborts/s", "", "measured", "met")
LEGEND = (
    "( +- ) is half of the interval; gain: rate by the rate of the first policy, its interval {how};\n"
    "aborts: speculations and per-VMA attempts that were given up."
)
ALONE = (
    "as wide as if the two runs\nhad nothing in common, though the seed is the same (--replications compares in pairs)"
)
PAIRED = "that of the\npairs' ratios, each of one seed (common random numbers)"


def measured_report(estimate: Estimate) -> str:
    """Return what `kactors run --precision` prints."""
    parts = [_rates(estimate), _cpu_time(estimate), [*_how(estimate)]]
    text = "\n\n".join("\n".join(lines) for lines in parts)
    if len(estimate.runs) > 1:
        return f"{text}\n"
    return f"{text}\n\n The whole run, set-up and warm-up included:\n\n{report(estimate.runs[0].result)}"


def measured_comparison(estimates: Sequence[Estimate]) -> str:
    """Return the table of `kactors compare` with intervals; gains are against the first."""
    result = estimates[0].runs[0].result
    machine = f"{result.machine}, {count(result.cpus)} CPUs, {count(result.threads)} threads"
    seeds = ", ".join(str(run.scenario.seed) for run in estimates[0].runs)
    heading = f"{result.workload} on {machine}, seed{'s' if len(estimates[0].runs) > 1 else ''} {seeds} for all:"
    how = [line for estimate in estimates for line in _how(estimate)]
    rows = [_row(estimate, compared=place > 0) for place, estimate in enumerate(estimates)]
    legend = LEGEND.format(how=PAIRED if len(estimates[0].runs) > 1 else ALONE)
    return "\n".join([heading, "", *table(COMPARED, rows), "", legend, "", *how, ""])


def plus_minus(interval: Interval) -> str:
    """Return the relative half-width as perf stat writes it: ( +-  0.52% ); of what never happened, its upper end."""
    if math.isfinite(interval.relative):
        return f"( +-{100 * interval.relative:6.2f}% )"
    return f"( below {interval.high:.3g} )" if 0 < interval.high < math.inf else "( no interval )"


def gained(interval: Interval) -> tuple[str, str]:
    """Return a ratio as a change, with its half-width in points: +109.9 %, ( +- 2.1 )."""
    reach = f"( +-{100 * interval.half_width:5.1f} )" if math.isfinite(interval.half_width) else "( no interval )"
    return f"{100 * (interval.mean - 1):+.1f} %", reach


def _row(estimate: Estimate, *, compared: bool) -> list[str]:
    aborts, runs = estimate.aborts_per_s, estimate.runs
    measured_ns = sum(run.virtual_ns - run.started_ns - run.warm_up_ns for run in runs)
    return [
        estimate.policy,
        f"{count(estimate.rate.mean)} {estimate.unit}/s",
        plus_minus(estimate.rate),
        *(gained(estimate.gain) if estimate.gain is not None else ("-" if compared else "", "")),
        count(estimate.faults_per_s.mean),
        plus_minus(estimate.faults_per_s),
        *((count(aborts.mean), plus_minus(aborts)) if aborts.mean else ("-", "")),
        duration(measured_ns),
        _met(estimate),
    ]


def _met(estimate: Estimate) -> str:
    if estimate.runs[0].relative is None:
        return "not asked"
    return "yes" if estimate.met else "NO"


def _rates(estimate: Estimate) -> list[str]:
    first = estimate.runs[0]
    set_up = first.set_up.model_dump() | first.set_up_vmstat
    rows = [[f"{estimate.rate.mean:,.1f}", f"{estimate.unit}/s", plus_minus(estimate.rate), ""]]
    rows += [
        [
            f"{rate.mean:,.1f}",
            f"{_perf_name(name)}/s",
            plus_minus(rate),
            f"# {count(set_up.get(name, 0))} in the set-up",
        ]
        for name, rate in estimate.rates.items()
    ]
    heading = f" Performance counter stats for '{title(first.result)}', per second of virtual time after the warm-up:"
    width = max(len(row[1]) for row in rows)
    lines = [f"{row[0]:>18}      {row[1]:<{width}}  {row[2]}  {row[3]}".rstrip() for row in rows]
    return [heading, "", *lines]


def _perf_name(name: str) -> str:
    return f"pagefault:{name}" if name.startswith("spf_") else name


def _cpu_time(estimate: Estimate) -> list[str]:
    shown = {kind: share for kind, share in estimate.cpu_time.items() if share.mean >= NOISE}
    cells = [
        [f"{100 * share.mean:.1f}" for share in shown.values()],
        [f"+- {100 * share.half_width:.1f}" if math.isfinite(share.half_width) else "-" for share in shown.values()],
    ]
    rows = [[title, *row] for title, row in zip(("share", ""), cells, strict=True)]
    return table(("CPU time, %", *(kind.replace("_", " ").replace("ipi", "IPI") for kind in shown)), rows, indent=" ")


def _how(estimate: Estimate) -> Iterator[str]:
    first = estimate.runs[0]
    if not estimate.rate.mean:
        spent = max(run.virtual_ns for run in estimate.runs)
        yield (
            f" NO {estimate.unit.upper():<11} {estimate.policy}: not one was done in {duration(spent)} of virtual time,"
            " set-up included: no rate, and no gain over it; give it more (--until)"
        )
    if len(estimate.runs) > 1:
        yield (
            f" measured       {estimate.policy}: {len(estimate.runs)} runs with seeds {first.scenario.seed} to"
            f" {estimate.runs[-1].scenario.seed}, {_level(estimate.rate)} intervals from their spread"
        )
        return
    yield f" measured       {estimate.policy}: {_span(first)}"
    if not first.met and first.relative is not None:
        yield f" NOT MET        +- {100 * first.relative:g} % was asked for: {first.why}{_needed(first)}"


def _span(run: Measurement) -> str:
    return (
        f"{duration(_steady_ns(run))} after {duration(run.warm_up_ns)} of warm-up; {_level(run.rate)} intervals from"
        f" {run.batches} batches of {duration(run.batch_ns)};"
        f" autocorrelation {run.autocorrelation:.2f} between slices of {duration(run.series.slice_ns)}"
    )


def _level(interval: Interval) -> str:
    return f"{100 * interval.confidence:g} %"


def _steady_ns(run: Measurement) -> int:
    return len(run.series.counts) * run.series.slice_ns - run.warm_up_ns


def _needed(run: Measurement) -> str:
    """An interval that is narrow enough, and yet not believed, does not tell how long it takes."""
    told = run.needed_ns > _steady_ns(run)
    return f"; it would take about {duration(run.needed_ns)} after the warm-up" if told else ""
