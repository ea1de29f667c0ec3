"""Settings of a scenario that the run had no use for: bounds without what they bound, a khugepaged that slept."""

from __future__ import annotations

from collections.abc import Iterator

from protocols.result import Result
from protocols.scenario import Bounds, Khugepaged

SPF_ATTEMPTS = "spf_"
"""How the names begin by which spf-2021 counts its speculations in vmstat."""
HUGE_FAULTS = ("thp_fault_alloc", "thp_fault_fallback")
ONLY_WHEN_IT_RUNS = ("takes_cpu", "pages_to_scan", "max_ptes_none")


def without_effect(result: Result) -> list[str]:
    """Return a sentence for each setting that changed nothing in this run."""
    return [*_bounds(result), *_khugepaged(result)]


def _bounds(result: Result) -> Iterator[str]:
    bounds, none = result.scenario.bounds, Bounds()
    if bounds.spf_inflight_max is None:
        for key in ("spf_inflight_scope", "on_limit"):
            if getattr(bounds, key) != getattr(none, key):
                yield f"bounds.{key} did nothing without bounds.spf_inflight_max"
    elif not _speculated(result):
        yield f"bounds.spf_inflight_max bounded nothing: under {result.policy} no fault speculated"


def _speculated(result: Result) -> bool:
    counters = result.counters
    reasons = counters.faults - counters.spf - counters.residual
    return bool(counters.spf or reasons) or any(name.startswith(SPF_ATTEMPTS) for name in result.vmstat)


def _khugepaged(result: Result) -> Iterator[str]:
    settings, none = result.scenario.khugepaged, Khugepaged()
    if not result.collapses and settings.scan_sleep_millisecs:
        yield "khugepaged met no range of a MADV_HUGEPAGE area in this time"
    elif not result.collapses:
        for key in ONLY_WHEN_IT_RUNS:
            if getattr(settings, key) != getattr(none, key):
                yield f"khugepaged.{key} did nothing: it runs with khugepaged.scan_sleep_millisecs above 0"
    if settings.fault_huge and not any(result.vmstat.get(name) for name in HUGE_FAULTS):
        yield "khugepaged.fault_huge did nothing: no fault was the first of a MADV_HUGEPAGE range"
