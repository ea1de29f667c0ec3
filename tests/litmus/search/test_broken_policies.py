"""Every broken policy is caught by the property that it names, or is shown to be harmless by complete search."""

import pytest

from benchmarks.broken_policies import SHOWN_BY, breaks, caught
from kactors.policies.broken import BROKEN

ANY_FAULT = ("two-faults", "munmap-page", "munmap-table", "munmap-tail", "vma-reuse", "mprotect-fault", "split-bounds")
HARMLESS_IN = {
    "broken-no-anon-vma": (*ANY_FAULT, "dontneed-fault", "collapse-fault"),
    "broken-no-bounds": ANY_FAULT,
    "broken-no-first-check": (*ANY_FAULT, "dontneed-fault", "collapse-fault"),
    "broken-no-sequence-recheck": (*ANY_FAULT, "dontneed-fault", "collapse-fault"),
    "broken-no-pmd-check": ("munmap-table", "collapse-fault", "collapse-munmap", "mail"),
    "broken-no-zap-section": ("munmap-page", "munmap-table", "munmap-tail", "stale-tlb", "dontneed-fault"),
    "broken-no-collapse-section": ("collapse-fault", "collapse-munmap", "mail"),
}
"""For each harmless policy the scenes in which what it drops is used."""


def test_every_broken_policy_has_its_scenes():
    assert SHOWN_BY.keys() == {name for name, policy in BROKEN.items() if policy.caught_by}
    assert HARMLESS_IN.keys() == BROKEN.keys() - SHOWN_BY.keys()


@pytest.mark.parametrize("policy", SHOWN_BY)
def test_the_portfolio_catches_it_by_the_property_that_it_names(policy):
    assert caught(policy, BROKEN[policy].caught_by, shrunk=False)


@pytest.mark.parametrize(
    ("policy", "scene"), [(policy, scene) for policy, scenes in HARMLESS_IN.items() for scene in scenes]
)
def test_no_interleaving_breaks_anything_without_what_is_harmless_to_drop(policy, scene):
    assert breaks(policy, scene) == set()
