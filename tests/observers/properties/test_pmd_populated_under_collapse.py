"""pmd_populated_under_collapse: a page table at a PMD that khugepaged has cleared."""

import pytest

from kactors.observers.properties.pmd_populated_under_collapse import PmdPopulatedUnderCollapse
from protocols.tracepoints import PmdChanged
from tests.actors.scenes import PMD
from tests.observers.properties.stories import findings

NAME = "pmd_populated_under_collapse"


def pmd(state, table=-1, *, collapsing=False, address=PMD):
    return PmdChanged(address=address, state=state, table=table, collapsing=collapsing)


HANGS, CLEARED, MARKED = pmd("table", 4), pmd("none", collapsing=True), pmd("collapsing", collapsing=True)


@pytest.mark.parametrize(
    "story",
    [
        (HANGS, pmd("none"), pmd("table", 5)),
        (HANGS, CLEARED, HANGS, pmd("none"), pmd("table", 5)),
        (HANGS, CLEARED, pmd("huge"), pmd("none"), pmd("table", 5)),
        (HANGS, MARKED, pmd("table", 5, address=2 * PMD), pmd("huge")),
    ],
    ids=["munmap", "put back", "collapsed", "elsewhere"],
)
def test_a_table_where_none_is_being_collapsed_is_allowed(story):
    assert findings(PmdPopulatedUnderCollapse(), *story) == []


@pytest.mark.parametrize("cleared", [CLEARED, MARKED])
def test_another_table_under_a_collapse_is_a_violation(cleared):
    assert findings(PmdPopulatedUnderCollapse(), HANGS, cleared, pmd("table", 5), pmd("huge")) == [NAME]
