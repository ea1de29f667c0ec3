"""Each property fires on a story that breaks it, and is silent on the nearest one that does not."""

import pytest

from kactors.observers.properties import all_properties
from kactors.observers.properties.freed_table_touched import FreedTableTouched
from kactors.observers.properties.pte_under_cleared_pmd import PteUnderClearedPmd
from kactors.observers.properties.store_lost import StoreLost
from protocols.tracepoints import (
    MmPageAlloc,
    PageCopied,
    PageMapped,
    PagesIsolated,
    PmdChanged,
    PteSet,
    RangeDiscarded,
    TableTouched,
    UserStore,
)

PMD = 0x200000


def findings(observer, *tracepoints):
    """Return the names of the properties that the story breaks, in order."""
    found = [observer.tracepoints()[type(entry)](at_ns, "cpu0", entry) for at_ns, entry in enumerate(tracepoints)]
    return [finding.property for finding in found if finding is not None]


def store(vpn, pfn):
    return UserStore(vpn=vpn, pfn=pfn, cpu=0)


def alloc(pfn):
    return MmPageAlloc(pfn=pfn, address=0, cpu=0)


def mapped(pfn, vpn, order=0):
    return PageMapped(pfn=pfn, vpn=vpn, order=order)


def discard(first, last, *, done):
    return RangeDiscarded(first=first, last=last, done=done)


def copied(vpn, source, target):
    return PageCopied(vpn=vpn, source=source, target=target)


FAULTED = (alloc(7), mapped(7, 100), store(100, 7))


@pytest.mark.parametrize(
    "story",
    [
        FAULTED,
        (*FAULTED, store(100, 7), store(100, 7)),
        (*FAULTED, mapped(7, 100)),
        (*FAULTED, alloc(8), mapped(8, 101), store(101, 8)),
        (*FAULTED, discard(100, 101, done=False), discard(100, 101, done=True), alloc(8), mapped(8, 100)),
        (*FAULTED, discard(90, 110, done=False), store(100, 7), alloc(8), mapped(8, 100)),
        (*FAULTED, copied(100, 7, 512), mapped(512, 100, order=9)),
        (
            *FAULTED,
            discard(100, 101, done=False),
            discard(100, 101, done=True),
            alloc(7),
            mapped(7, 200),
            store(200, 7),
        ),
        (alloc(7), alloc(8), mapped(7, 100), store(100, 7)),
    ],
    ids=[
        "a fault",
        "more stores",
        "the same frame again",
        "another page",
        "discarded before",
        "being discarded",
        "collapsed with its content",
        "the frame used elsewhere",
        "a loser's page",
    ],
)
def test_a_store_that_can_be_found_or_may_be_gone_is_not_lost(story):
    assert findings(StoreLost(), *story) == []


@pytest.mark.parametrize(
    "story",
    [
        (*FAULTED, alloc(8), mapped(8, 100)),
        (*FAULTED, store(100, 8)),
        (*FAULTED, copied(100, -1, 512), mapped(512, 100, order=9)),
        (*FAULTED, copied(100, 7, 512), store(100, 7), mapped(512, 100, order=9)),
        (*FAULTED, discard(101, 110, done=False), discard(101, 110, done=True), alloc(8), mapped(8, 100)),
        (
            *FAULTED,
            discard(100, 101, done=False),
            discard(100, 101, done=True),
            store(100, 9),
            alloc(8),
            mapped(8, 100),
        ),
        (alloc(7), mapped(7, 105), store(105, 7), mapped(512, 100, order=9)),
    ],
    ids=[
        "another frame mapped over it",
        "a store through a stale translation",
        "a collapse that did not see the page",
        "a store during the copy",
        "another range discarded",
        "a store after the discard",
        "a huge page mapped over it",
    ],
)
def test_a_store_that_nobody_can_find_again_is_lost(story):
    assert findings(StoreLost(), *story) == ["store_lost"]


def test_two_discards_of_the_same_range_may_overlap():
    story = [discard(100, 101, done=False), discard(100, 101, done=False), discard(100, 101, done=True)]
    observer = StoreLost()
    assert findings(observer, *FAULTED, *story, alloc(8), mapped(8, 100)) == []
    assert findings(observer, discard(100, 101, done=True), store(100, 8), alloc(9), mapped(9, 100)) == ["store_lost"]


def pmd(state, table=-1, *, collapsing=False):
    return PmdChanged(address=PMD, state=state, table=table, collapsing=collapsing)


def pte(table, value=5):
    return PteSet(table=table, pmd_address=PMD, index=3, value=value)


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
    assert findings(PteUnderClearedPmd(), *story) == ["pte_under_cleared_pmd"]


def test_any_touch_of_a_freed_table_is_a_violation():
    touched = TableTouched(table=4, toucher="cpu1", request="ReadPte")
    assert findings(FreedTableTouched(), touched) == ["freed_table_touched"]
    assert (
        "cpu1 sent ReadPte to page table 4" in FreedTableTouched().tracepoints()[TableTouched](9, "ptl", touched).text
    )


def test_every_run_gets_observers_of_its_own():
    one, other = all_properties(), all_properties()
    assert len(one) >= 3
    assert not set(map(id, one)) & set(map(id, other))
