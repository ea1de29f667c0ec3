"""pte_under_cleared_pmd: an entry written where no walker finds it."""

import pytest

from benchmarks.seeds import SCENES
from kactors import Machine
from kactors.observers.properties import load_property
from kactors.observers.properties.pte_under_cleared_pmd import PteUnderClearedPmd
from protocols.tracepoints import PagesIsolated, PmdChanged, PteSet
from tests.observers.properties.stories import findings

NAME = "pte_under_cleared_pmd"
PMD = 0x200000


def first_finding(policy, scene):
    for seed in range(60):
        scenario = SCENES[scene].model_copy(update={"policy": policy, "seed": seed})
        stop = Machine(scenario, observers=(load_property(NAME),), properties=False).run().stop
        if stop.kind == "violation":
            return stop
    return None


@pytest.mark.parametrize(
    ("scene", "words"),
    [("collapse", "isolated the table's pages"), ("munmap", "the PMD is none")],
)
def test_a_commit_without_checks_writes_into_a_table_that_is_gone(scene, words):
    stop = first_finding("broken-no-checks", scene)
    assert stop.property == NAME
    assert words in stop.text
    assert first_finding("spf-v9", scene) is None


def pmd(state, table=-1, *, collapsing=False):
    return PmdChanged(address=PMD, state=state, table=table, collapsing=collapsing)


def pte(table, value=5):
    return PteSet(table=table, pmd_address=PMD, index=3, vpn=(PMD >> 12) + 3, value=value)


ISOLATED = PagesIsolated(address=PMD, table=4)


@pytest.mark.parametrize(
    "story",
    [
        (pmd("table", 4), pte(4)),
        (pmd("table", 4), pmd("none", collapsing=True), pte(4)),
        (pmd("table", 4), pmd("none", collapsing=True), pmd("table", 4), pte(4)),
        (pmd("table", 4), pmd("none", collapsing=True), ISOLATED, pmd("huge"), pmd("table", 4), pte(4)),
    ],
    ids=["its own table", "before the isolation", "put back", "split again"],
)
def test_a_pte_that_can_be_found_is_allowed(story):
    assert findings(PteUnderClearedPmd(), *story) == []


@pytest.mark.parametrize(
    "story",
    [
        (pmd("table", 4), pte(5)),
        (pte(4),),
        (pmd("table", 4), pmd("none"), pte(4)),
        (pmd("table", 4), pmd("none", collapsing=True), ISOLATED, pte(4)),
        (pmd("table", 4), pmd("none", collapsing=True), ISOLATED, pmd("huge"), pte(4)),
    ],
    ids=["another table", "no table at all", "detached by munmap", "after the isolation", "behind a huge page"],
)
def test_a_pte_that_nobody_will_find_is_a_violation(story):
    assert findings(PteUnderClearedPmd(), *story) == [NAME]


def test_the_finding_says_what_stands_there_instead():
    hear = PteUnderClearedPmd().tracepoints()
    hear[PmdChanged](1, "mm", pmd("huge"))
    assert "the PMD is huge and the table only deposited behind it" in hear[PteSet](2, "ptl@200000", pte(4)).text
    hear[PmdChanged](3, "mm", pmd("table", 9))
    assert "page table 9 hangs at the PMD" in hear[PteSet](4, "ptl@200000", pte(4)).text
