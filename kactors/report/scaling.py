"""How a workload scales, as text: a table a policy, the law, knees, what saturates, and a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

from kactors.machines import load_machine
from kactors.report.measured import plus_minus
from kactors.report.picture import picture
from kactors.report.tables import table
from kactors.report.units import count, duration
from protocols.measurement import Interval
from protocols.scaling import Law, Scaling, Size

HEADERS = ("CPUs", "threads", "rate", "", "law", "aborts/s", "IPI wait", "p50", "saturated", "use")
LEGEND = (
    "rate: per second of virtual time; ( +- ) is half of its interval; law: what the fitted law says of the size;",
    "IPI wait: share of the CPUs' time, and its median; saturated: the resource that the others wait for; use: the",
    "share of time in which that, or the busiest, is taken; *: the rate is not known as well as was asked for.",
)


def scaling_report(found: Sequence[Scaling]) -> str:
    """Return what `kactors scale` prints."""
    first = found[0]
    workload, seed = first.scenario.workload, first.scenario.seed
    parts = [[f"{workload} at {len(first.sizes)} sizes, seed {seed} for all:"]]
    for each in found:
        parts.append([f"{each.policy}, {each.unit}/s:", *table(HEADERS, [_row(size) for size in each.sizes])])
        parts.append([f"  {line}" for line in (*_told(each), *_unknown(each))])
    curves = {each.policy: [(size.cpus, size.rate.mean) for size in each.sizes] for each in found}
    parts.append(_repeated(first))
    parts += [picture(f"{first.unit}/s", curves, x="CPUs"), list(LEGEND)]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def _row(size: Size) -> list[str]:
    return [
        f"{count(size.cpus)}{'' if size.met else '*'}",
        count(size.threads),
        count(size.rate.mean),
        plus_minus(size.rate),
        "-" if size.fitted is None else count(size.fitted),
        count(size.aborts_per_s.mean) if size.aborts_per_s.mean else "-",
        f"{100 * size.ipi_wait.mean:.1f} %",
        "-" if size.ipi_wait_p50_ns is None else duration(size.ipi_wait_p50_ns),
        size.saturated,
        f"{100 * size.use:.0f} %",
    ]


def _told(found: Scaling) -> list[str]:
    """Return law, knee and what saturates, or that there is nothing to tell them from."""
    if not any(size.rate.mean for size in found.sizes):
        return [f"no law, no knee: not one of the {found.unit} was done at any size; give it more (--events-max)"]
    return [*_law(found.law), _knee(found), *_saturation(found.sizes)]


def _law(law: Law | None) -> list[str]:
    if law is None:
        return ["law: none, for it takes rates at four sizes"]
    terms = (("lambda", law.lambda_per_s), ("sigma", law.sigma), ("kappa", law.kappa))
    text = ", ".join(f"{name} {_parameter(value)}" for name, value in terms)
    lines = [f"law: N lambda / (1 + sigma (N - 1) + kappa N (N - 1)) with {text}"]
    if not law.fits:
        return [*lines, f"it does not fit: it misses a rate by {100 * law.residual_max:.0f} %; no trend to draw on"]
    peak = "" if law.peak_cpus is None else f"; by it, rates are highest at {count(law.peak_cpus)} CPUs"
    return [*lines, f"it fits: largest miss {100 * law.residual_max:.1f} %{peak}"]


def _parameter(value: Interval) -> str:
    ends = (value.low, value.high)
    return f"{value.mean:.3g} ({ends[0]:.3g} to {ends[1]:.3g})" if math.isfinite(ends[1]) else f"{value.mean:.3g} (?)"


def _knee(found: Scaling) -> str:
    knee = "more CPUs pay throughout" if found.knee_cpus is None else f"CPUs stop paying at {count(found.knee_cpus)}"
    highest = f"highest at {count(found.peak_cpus)} CPUs"
    return f"knee: {knee}; {highest}{', and lower beyond' if found.falls else ''}"


def _saturation(sizes: Sequence[Size]) -> list[str]:
    """Return what saturates from which size to which."""
    runs = [(what, [size.cpus for size in group]) for what, group in groupby(sizes, key=lambda size: size.saturated)]
    spans = [f"{count(cpus[0])}{f' to {count(cpus[-1])}' if len(cpus) > 1 else ''}: {what}" for what, cpus in runs]
    return [f"saturated: {'; '.join(spans)}"]


def _repeated(found: Scaling) -> list[str]:
    """Return how a machine comes to more CPUs than it has."""
    scenario = found.scenario
    own = load_machine(scenario.machine).cpus
    beyond = [size.cpus for size in found.sizes if size.cpus > own]
    if scenario.cpus is None or not beyond:
        return []
    told = (
        f"{scenario.machine} has {count(own)} CPUs: at {', '.join(map(count, beyond))} its sockets are repeated, with"
        " its own costs and memory; --machine generic grows as servers do."
    )
    return [told]


def _unknown(found: Scaling) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for size in found.sizes:
        if not size.met:
            reasons.setdefault(size.why, []).append(count(size.cpus))
    return [f"* at {', '.join(sizes)} CPUs: {why}" for why, sizes in reasons.items()]
