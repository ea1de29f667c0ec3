"""What the irqs-off rule and each check of the commit protect: the table of MODEL.md, row by row."""

import pytest

from benchmarks.broken_policies import LEAK, SCENES, verdicts

SEEDS = range(60)

FREED, CLEARED = "freed_table_touched", "pte_under_cleared_pmd"

BREAKS = {
    ("broken-irqs-on", "collapse"): set(),
    ("broken-irqs-on", "munmap"): {FREED},
    ("broken-no-last-check", "collapse"): set(),
    ("broken-no-last-check", "munmap"): set(),
    ("broken-no-pmd-check", "collapse"): set(),
    ("broken-no-pmd-check", "munmap"): set(),
    ("broken-no-vma-checks", "collapse"): set(),
    ("broken-irqs-on-no-last-check", "collapse"): {CLEARED},
    ("broken-irqs-on-no-last-check", "munmap"): {FREED},
    ("broken-irqs-on-no-pmd-check", "collapse"): set(),
    ("broken-irqs-on-no-pmd-check", "munmap"): {FREED},
    ("broken-irqs-on-no-vma-checks", "collapse"): {CLEARED},
    ("broken-irqs-on-no-checks", "collapse"): {CLEARED},
    ("broken-irqs-on-no-checks", "munmap"): {FREED, CLEARED},
    ("broken-no-checks", "collapse"): {CLEARED},
    ("broken-no-checks", "munmap"): {FREED, CLEARED},
}
"""What 60 seeds must show at least; an empty set: they must show nothing."""


@pytest.mark.parametrize(("policy", "scene"), BREAKS, ids="-".join)
def test_each_dropped_protection_breaks_what_the_table_says(policy, scene):
    broken = {name for name, count in verdicts(policy, scene, SEEDS).items() if count and name != "holds"}
    expected = BREAKS[policy, scene]
    assert broken >= expected
    assert bool(broken) == bool(expected)


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("policy", ["spf-v9", "classic", "per-vma"])
def test_the_real_policies_break_nothing(policy, scene):
    assert verdicts(policy, scene, SEEDS) == {"holds": len(SEEDS)}


def test_a_collapse_that_misses_a_page_leaks_it_but_loses_no_store():
    """The store has not happened yet: the PMD is none, so the instruction faults again and goes to the huge page."""
    assert verdicts("broken-no-checks", "collapse", SEEDS, only=LEAK)[LEAK] > 0
    assert verdicts("broken-no-checks", "collapse", SEEDS, only="store_lost") == {"holds": len(SEEDS)}
