"""A setting that a run had no use for is told of in the report of the run and under the comparison."""

import pytest

from kactors import Scenario, run
from kactors.report import comparison, report
from kactors.report.without_effect import without_effect
from protocols.scenario import Bounds, Khugepaged
from tests.report.samples import COUNTERS, sample

NEVER = COUNTERS.model_copy(update={"spf": 0, "residual": COUNTERS.faults})
CLASSIC = {"policy": "classic", "counters": NEVER, "fault_paths": {"classic": 1000}}
BOUNDED = Scenario(bounds=Bounds(spf_inflight_max=1))


def scan(**settings):
    return {"scenario": Scenario(khugepaged=Khugepaged(**settings))}


@pytest.mark.parametrize(
    ("changes", "notes"),
    [
        ({}, []),
        ({"scenario": BOUNDED}, []),
        ({"scenario": BOUNDED, "counters": NEVER, "vmstat": {"spf_attempt": 3}}, []),
        (
            {"scenario": BOUNDED} | CLASSIC,
            ["bounds.spf_inflight_max bounded nothing: under classic no fault speculated"],
        ),
        (
            {"scenario": Scenario(bounds=Bounds(spf_inflight_scope="cpu", on_limit="stop"))},
            [f"bounds.{key} did nothing without bounds.spf_inflight_max" for key in ("spf_inflight_scope", "on_limit")],
        ),
        ({"scenario": Scenario(bounds=Bounds(transient_pages_max=9, ipi_wait_max_ns=9))} | CLASSIC, []),
        (scan(takes_cpu=True, pages_to_scan=9, max_ptes_none=9), []),
        (scan(scan_sleep_millisecs=1), []),
        (
            scan(takes_cpu=True, pages_to_scan=9, max_ptes_none=9) | {"collapses": {}},
            [
                f"khugepaged.{key} did nothing: it runs with khugepaged.scan_sleep_millisecs above 0"
                for key in ("takes_cpu", "pages_to_scan", "max_ptes_none")
            ],
        ),
        (
            scan(scan_sleep_millisecs=1, takes_cpu=True) | {"collapses": {}},
            ["khugepaged met no range of a MADV_HUGEPAGE area in this time"],
        ),
        (
            scan(fault_huge=True),
            ["khugepaged.fault_huge did nothing: no fault was the first of a MADV_HUGEPAGE range"],
        ),
        (scan(fault_huge=True) | {"vmstat": {"thp_fault_fallback": 1}}, []),
    ],
)
def test_each_setting_that_did_nothing_has_a_line(changes, notes):
    result = sample(**changes)
    assert without_effect(result) == notes
    assert [line.split(None, 1)[1] for line in report(result).splitlines() if line.startswith(" note ")] == [
        *result.notes,
        *notes,
    ]
    told = comparison([result, result]).splitlines()
    assert [line.removeprefix("note: ") for line in told if line.startswith("note: ")] == notes


@pytest.mark.parametrize("policy", ["spf-v9", "spf-2021", "classic"])
def test_a_real_run_says_whether_its_bound_had_something_to_bound(policy):
    scenario = Scenario(workload="same-address", machine="small", policy=policy, bounds=Bounds(spf_inflight_max=1))
    assert bool(without_effect(run(scenario))) is (policy == "classic")
