"""The mail's third question: may speculation allocate page tables, if a collapsing PMD is not pmd_none? By search."""

import pytest

from kactors import Scenario
from kactors.checker.search import Search, make_strategy
from kactors.checker.strategies.strategy import Budget
from kactors.checker.subject import Subject

SCENES = ["collapse-fault", "mail"]


def searched(scene, marker, strategy):
    options = {"page_tables": "speculative", "pmd_marker": marker}
    subject = Subject(Scenario(workload=scene, machine="small", policy="spf-v9", policy_options=options))
    return Search(subject, make_strategy(strategy, subject, Budget(), 1)).run().searched()


@pytest.mark.parametrize("scene", SCENES)
def test_with_pmd_none_a_table_is_put_where_a_collapse_has_cleared_one(scene):
    found = searched(scene, "none", "portfolio").found
    assert found.stop.property == "pmd_populated_under_collapse"
    assert found.critical is not None
    assert any(step.on == "khugepaged" and step.says.startswith("ClearPmd") for step in found.story)


@pytest.mark.parametrize("scene", SCENES)
def test_with_a_marker_of_its_own_no_interleaving_breaks_anything(scene):
    complete = searched(scene, "collapsing", "exhaustive")
    assert complete.complete
    assert complete.found is None
