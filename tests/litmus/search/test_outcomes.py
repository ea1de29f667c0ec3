"""Each litmus scene under each policy, every interleaving: exactly these outcomes, and no property breaks."""

import pytest

from kactors import Scenario
from kactors.checker.search import Search, make_strategy
from kactors.checker.strategies.strategy import Budget
from kactors.checker.subject import Subject
from kactors.workloads.litmus import SCENES


def seen(**registers):
    return tuple(sorted((name.replace("_", " "), value) for name, value in registers.items()))


ALWAYS_BOTH = {seen(r0="stored", r1="stored")}
STORED, SIGSEGV = seen(r1="stored"), seen(r1="SIGSEGV")
EITHER = {STORED, SIGSEGV}

OUTCOMES = {
    "mail": {
        seen(r1=r1, khugepaged=khugepaged)
        for r1 in ("stored", "SIGSEGV")
        for khugepaged in ("succeeded", "vma_check_failed")
    },
    "mail-deadlock": {STORED},
    "two-faults": ALWAYS_BOTH,
    "zero-page": {seen(r0="loaded", r0_after="stored", r1="stored")},
    "munmap-page": EITHER,
    "munmap-table": EITHER,
    "munmap-tail": EITHER,
    "stale-tlb": {seen(r0="stored"), seen(r0="SIGSEGV")},
    "mprotect-fault": EITHER,
    "split-bounds": {STORED},
    "write-protect": {seen(r0="stored", r1="loaded"), seen(r0="SIGSEGV", r1="loaded")},
    "dontneed-fault": ALWAYS_BOTH,
    "vma-reuse": EITHER,
    "collapse-fault": {seen(r0="stored", r0_after="stored", khugepaged="succeeded")},
    "collapse-munmap": {seen(khugepaged="succeeded"), seen(khugepaged="vma_check_failed")},
    "file-copy": {seen(r0="loaded", r0_after="stored", r1="stored")},
    "file-copy-munmap": EITHER,
    "file-shared": {seen(r0="stored", r1="stored"), seen(r0="stored", r1="SIGSEGV")},
    # One of the two calls the OOM killer; the other got the last page, or is killed with it.
    "out-of-memory": {seen(r0="stored"), seen(r1="stored"), seen()},
}


def test_every_scene_has_its_outcomes():
    assert OUTCOMES.keys() == SCENES.keys()


@pytest.mark.parametrize("policy", ["spf-v9", "classic", "per-vma"])
@pytest.mark.parametrize("scene", OUTCOMES)
def test_a_scene_has_exactly_these_outcomes(scene, policy):
    subject = Subject(Scenario(workload=scene, policy=policy, machine="small"))
    search = Search(subject, make_strategy("exhaustive", subject, Budget(), 1))
    search.run()
    assert search.finding is None
    assert search.strategy.complete
    assert set(search.outcomes) == OUTCOMES[scene]
