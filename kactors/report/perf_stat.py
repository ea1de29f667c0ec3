"""The counters as perf stat prints them, so that scripts written for a real kernel read a simulation."""

from __future__ import annotations

from kactors.report.command import title
from protocols.result import Result

RESIDUAL = "faults - spf - the six reasons: served without a speculation, or under way at the end"


def perf_stat(result: Result) -> list[str]:
    """Return the lines: the review mail's eight counters in its order, what they leave unexplained, the time."""
    counters = result.counters.model_dump()
    residual = counters.pop("residual")
    events = [(name if name in {"faults", "spf"} else f"pagefault:{name}", value) for name, value in counters.items()]
    seconds, fraction_ns = divmod(result.virtual_ns, 1_000_000_000)
    elapsed = f"{seconds}.{fraction_ns:09d}"
    return [
        f" Performance counter stats for '{title(result)}':",
        "",
        *(f"{value:>18}      {name}" for name, value in events),
        f"{residual:>18}      {'residual':<26} # {RESIDUAL}",
        "",
        f"{elapsed:>18} seconds time elapsed (virtual)",
    ]
