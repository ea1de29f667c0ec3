"""What the irqs-off rule and each check of the commit protect: the table of MODEL.md, cell by cell."""

import pytest

from benchmarks.broken_policies import COMMIT, SCENES, breaks
from kactors import Scenario
from kactors.checker.search import Search, make_strategy
from kactors.checker.strategies.strategy import Budget
from kactors.checker.subject import Subject
from kactors.observers.properties import load_property

TABLE, PAGE, AREA, PMD = "freed_table_touched", "page_accounting", "pte_in_unmapped_area", "pte_under_cleared_pmd"
NOTHING = {scene: set() for scene in SCENES}
TABLE_ONLY = NOTHING | {"munmap-table": {TABLE}}
LATE = NOTHING | {"munmap-table": {TABLE, PAGE, PMD}, "munmap-page": {AREA}}

BREAKS = {
    "spf-v9": NOTHING,
    "broken-irqs-on": TABLE_ONLY,
    "broken-walk-irqs-on": TABLE_ONLY,
    "broken-commit-irqs-on": TABLE_ONLY,
    "broken-no-first-check": NOTHING,
    "broken-no-last-check": LATE,
    "broken-no-pmd-check": NOTHING,
    "broken-no-collapse-section": NOTHING,
    "broken-no-vma-checks": LATE,
    "broken-no-checks": LATE | {"collapse-fault": {PMD}},
    "broken-irqs-on-no-last-check": LATE | {"collapse-fault": {PMD}},
    "broken-irqs-on-no-pmd-check": TABLE_ONLY,
    "broken-irqs-on-no-vma-checks": LATE | {"collapse-fault": {PMD}},
    "broken-irqs-on-no-checks": LATE | {"collapse-fault": {PMD}},
}


def test_the_table_has_a_row_for_each_policy():
    assert tuple(BREAKS) == COMMIT


@pytest.mark.parametrize(("policy", "scene"), [(policy, scene) for policy in BREAKS for scene in SCENES])
def test_each_dropped_protection_breaks_what_the_table_says(policy, scene):
    assert breaks(policy, scene) == BREAKS[policy][scene]


@pytest.mark.parametrize(("watching", "broken"), [("store_lost", False), ("page_accounting", True)])
def test_a_collapse_that_misses_a_page_leaks_it_but_loses_no_store(watching, broken):
    """The store has not happened yet: the PMD is none, so the instruction faults again and goes to the huge page."""
    scenario = Scenario(workload="collapse-fault", policy="broken-no-checks", machine="small")
    subject = Subject(scenario, properties=lambda: [load_property(watching)])
    search = Search(subject, make_strategy("exhaustive", subject, Budget(), 1)).run()
    assert bool(search.finding) is broken
    assert search.strategy.complete is not broken
