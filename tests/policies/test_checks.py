"""Checks as data: each can be dropped, any subset of them composes, and an ablated policy has a name that loads."""

import random
from itertools import combinations
from typing import ClassVar

import pytest

from kactors import Machine, Scenario
from kactors.engine.errors import UsageError
from kactors.fault_policy import Check
from kactors.policies import BROKEN, POLICIES, find_policy, load_policy, without
from kactors.policies.ablation import ablated_name, split_name
from kactors.policies.classic import Classic
from kactors.policies.spf_v9 import SpfV9

ALL = {**POLICIES, **BROKEN}
SPF_CHECKS = [check.name for check in SpfV9.checks]

OWN = """
from kactors.fault_policy import Check
from kactors.policies.classic import Classic


def shout(policy):
    return "without"


class Mine(Classic):
    name = "mine"
    checks = (Check("say", "X1", "says something", {"say": shout}),)

    def say(self):
        return "with"
"""


def attributes_of(policy):
    return [attribute for check in policy.checks for attribute in check.dropped]


@pytest.mark.parametrize("policy", ALL.values(), ids=ALL)
def test_every_check_replaces_what_the_policy_has_and_no_two_the_same(policy):
    names = [check.name for check in policy.checks]
    assert len(set(names)) == len(names)
    attributes = attributes_of(policy)
    assert len(set(attributes)) == len(attributes), "two checks that replace one method do not compose"
    for check in policy.checks:
        assert check.step
        assert check.text
        for attribute, replacement in check.dropped.items():
            assert hasattr(policy, attribute)
            assert type(replacement) is type(getattr(policy, attribute))


@pytest.mark.parametrize("name", SPF_CHECKS)
def test_dropping_a_check_replaces_that_one_only(name):
    ablated = without(SpfV9, [name])
    (check,) = ablated.named_checks([name])
    for attribute in attributes_of(SpfV9):
        same = getattr(ablated, attribute) is getattr(SpfV9, attribute)
        assert same == (attribute not in check.dropped)
    assert issubclass(ablated, SpfV9)
    assert ablated.name == f"spf-v9-without-{name}"
    assert name in ablated.__doc__


def test_nothing_dropped_is_the_policy_itself():
    assert without(SpfV9, []) is SpfV9


def test_the_name_does_not_depend_on_the_order_in_which_checks_are_named():
    both = without(SpfV9, ["trylock", "pmd_check"])
    assert both.name == without(SpfV9, ["pmd_check", "trylock"]).name == "spf-v9-without-pmd_check+trylock"


def test_an_ablated_policy_says_what_it_lacks_and_belongs_where_the_whole_one_does():
    both = without(SpfV9, ["trylock", "pmd_check"])
    assert both.__doc__ == "SpfV9 without pmd_check, trylock."
    assert (both.__name__, both.__module__) == ("SpfV9Without", SpfV9.__module__)


def test_checks_can_be_dropped_from_a_policy_that_lacks_some():
    twice = without(without(SpfV9, ["trylock"]), ["pmd_check"])
    assert twice.pmd_changed is without(SpfV9, ["pmd_check"]).pmd_changed
    assert twice.take_pte_lock is without(SpfV9, ["trylock"]).take_pte_lock
    assert find_policy(twice.name).pmd_changed is twice.pmd_changed


def subsets():
    """Every pair, every single one's complement, all, and some at random."""
    yield from combinations(SPF_CHECKS, 2)
    for name in SPF_CHECKS:
        yield tuple(other for other in SPF_CHECKS if other != name)
    yield tuple(SPF_CHECKS)
    numbers = random.Random(1)
    for _ in range(30):
        yield tuple(name for name in SPF_CHECKS if numbers.random() < 0.5)


@pytest.mark.parametrize("workload", ["munmap-vs-fault", "collapse-vs-fault", "same-address"])
def test_any_subset_runs_to_an_end_of_the_models_own(workload):
    """What a policy without checks does is a finding or nothing, never a crash of an actor."""
    for names in subsets():
        policy = ablated_name("spf-v9", names)
        scenario = Scenario(
            workload=workload,
            machine="small",
            policy=policy,
            khugepaged={"scan_sleep_millisecs": 1},
            costs={"clear_page_ns": 4_000},
            events_max=20_000,
        )
        result = Machine(scenario).run()
        # A walk cache that no flush empties makes a CPU fault again and again: that run has no end.
        ends = {"quiescent", "violation", "deadlock", *(["events"] if "collapse_flush" in names else [])}
        assert result.stop.kind in ends, policy
        assert result.policy == policy


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("spf-v9-without-pmd", "spf-v9 has no check pmd; it has vma_refcount, .*pmd_check"),
        ("spf-v9-without-", "spf-v9 has no check ;"),
        ("spf-v8-without-pmd_check", "--policy spf-v8: no such policy"),
        ("broken-no-pmd-check-without-x", "broken-no-pmd-check has no check x"),
    ],
)
def test_a_name_that_is_wrong_says_what_would_be_right(name, message):
    with pytest.raises(UsageError, match=message):
        load_policy(name)


def test_a_policy_that_declares_no_checks_says_so():
    class Bare(Classic):
        name: ClassVar[str] = "bare"
        checks: ClassVar[tuple[Check, ...]] = ()

    with pytest.raises(UsageError, match="bare has no check pte_same; it has none that can be dropped"):
        without(Bare, ["pte_same"])


def test_a_users_file_declares_checks_of_its_own(tmp_path):
    path = tmp_path / "a-without-b.py"
    path.write_text(OWN, encoding="utf-8")
    assert load_policy(f"{path}:Mine").say() == "with"
    ablated = load_policy(f"{path}:Mine-without-say")
    assert ablated.say() == "without"
    assert ablated.name == "mine-without-say"


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("classic", ("classic", ())),
        ("spf-v9-without-a+b", ("spf-v9", ("a", "b"))),
        ("a-without-b.py", ("a-without-b.py", ())),
        ("a-without-b.py:Mine", ("a-without-b.py:Mine", ())),
        ("a-without-b.py:Mine-without-c", ("a-without-b.py:Mine", ("c",))),
        ("-without-c", ("-without-c", ())),
        ("a-without-b-without-c", ("a-without-b", ("c",))),
    ],
)
def test_a_name_is_split_at_its_last_without(name, parts):
    assert split_name(name) == parts
    assert ablated_name(*parts) == name
