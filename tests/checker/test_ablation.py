"""Which checks a policy needs, from searches of it without each subset of them."""

import pytest

from kactors import Scenario
from kactors.checker.ablation import CHECKS_MAX, ablate_one, checks_of, subsets, sum_up
from kactors.checker.strategies.strategy import Budget
from kactors.engine.errors import UsageError
from kactors.policies import find_policy
from protocols.search import Ablated, Found
from protocols.stop import Violation

SCENES = [Scenario(workload=name, machine="small") for name in ("munmap-page", "mail-deadlock")]
BROKEN = Found(
    stop=Violation(property="p", text="t"), schedule="s", story=(), shrunk_from=1, scenario=Scenario(workload="w")
)


def row(dropped, *, safe, complete=True):
    return Ablated(dropped=tuple(dropped), complete=complete, found=None if safe else BROKEN, states=1)


def concluded(safe, checks="abc"):
    rows = [row(dropped, safe="".join(dropped) in safe) for dropped in subsets(tuple(checks))]
    found = sum_up("spf-v9", tuple(checks), SCENES, rows)
    return {"".join(kept) for kept in found.minimal}, "".join(found.redundant), "".join(found.spare)


def test_subsets_come_smallest_first_and_all_of_them():
    assert ["".join(each) for each in subsets(("a", "b", "c"))] == ["", "a", "b", "c", "ab", "ac", "bc", "abc"]


def test_what_every_safe_set_can_do_without_is_redundant():
    assert concluded({"", "a"}) == ({"bc"}, "a", "")


def test_two_that_cover_for_each_other_are_spare_and_either_is_enough():
    assert concluded({"", "a", "b"}) == ({"bc", "ac"}, "", "ab")


def test_dropping_more_can_make_it_safe_again():
    """With interrupts on, spinning harms nobody: nothing is concluded from one subset for another."""
    assert concluded({"", "ab"}) == ({"c"}, "", "")


def test_a_policy_that_is_broken_as_it_is_has_nothing_that_is_enough():
    assert concluded(set()) == (set(), "", "")


def test_what_was_not_covered_wholly_is_not_safe():
    rows = [row((), safe=True), row(("a",), safe=True, complete=False)]
    assert sum_up("spf-v9", ("a",), SCENES, rows).minimal == (("a",),)


@pytest.mark.parametrize(
    ("dropped", "breaks"),
    [
        ((), None),
        (("pmd_check",), None),
        (("trylock",), "deadlock"),
        (("last_vma_check",), "pte_in_unmapped_area"),
        (("trylock", "last_vma_check"), "pte_in_unmapped_area"),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, tuple) else value,
)
def test_without_these_checks_that_breaks(dropped, breaks):
    found = ablate_one("spf-v9", dropped, SCENES, Budget(), 1)
    assert found.complete
    assert found.safe == (breaks is None)
    if breaks is not None:
        assert breaks in (found.found.stop.kind, getattr(found.found.stop, "property", ""))
        assert found.found.scenario.policy.endswith("+".join(dropped))


def test_by_default_those_that_the_policy_puts_in_question():
    assert checks_of("spf-v9", []) == find_policy("spf-v9").interplay
    assert len(checks_of("spf-v9", [])) >= 6
    assert checks_of("classic", []) == tuple(check.name for check in find_policy("classic").checks)


def test_they_keep_the_order_of_the_policy():
    assert checks_of("spf-v9", ["trylock", "pmd_check"]) == ("pmd_check", "trylock")


def test_too_many_or_unknown_ones_are_refused():
    every = [check.name for check in find_policy("spf-v9").checks]
    with pytest.raises(UsageError, match=f"name {CHECKS_MAX} at most"):
        checks_of("spf-v9", every)
    with pytest.raises(UsageError, match="spf-v9 has no check trilock; it has"):
        checks_of("spf-v9", ["trilock"])


def test_what_the_policy_goes_without_already_cannot_be_dropped_again():
    with pytest.raises(UsageError, match="has no check trylock"):
        checks_of("spf-v9-without-trylock", ["trylock"])
    assert "trylock" not in checks_of("spf-v9-without-trylock", [])
