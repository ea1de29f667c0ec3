"""All complete strategies find the same, and what they count is what there is."""

from __future__ import annotations

import pytest

from kactors.checker.search import STRATEGIES
from kactors.checker.space import Space, State
from kactors.checker.strategies.strategy import Budget
from tests.checker.scenes import SCENES, THREE_CPUS
from tests.checker.searches import Asked, found_by, search_by

COUNTED = ("fault and munmap of its page", "fault and munmap of all", "fault and mprotect")
POLICIES = ("spf-v9", "per-vma", "broken-irqs-on-no-checks", "broken-blocking-spin")


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("scene", SCENES)
def test_reduction_loses_neither_an_outcome_nor_a_finding(scene: str, policy: str):
    plain, reduced = found_by("plain", scene, policy), found_by("exhaustive", scene, policy)
    assert reduced.outcomes == plain.outcomes
    assert reduced.findings == plain.findings
    assert reduced.outcomes or reduced.findings
    assert reduced.strategy.moves <= plain.strategy.moves
    assert (reduced.strategy.traces or 0) <= (plain.strategy.traces or 0)


@pytest.mark.parametrize("name", ["exhaustive", "dpor"])
def test_what_a_handler_says_before_the_thread_s_question_is_not_slept_over(name: str):
    plain, reduced = (found_by(each, "grace period and a question", "classic") for each in ("plain", name))
    assert reduced.outcomes == plain.outcomes
    assert len(plain.outcomes) == 3
    # The munmap that waited for readers has freed the area before a question about it comes.
    assert reduced.findings == plain.findings == {"vma_use_after_free"}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("scene", COUNTED)
def test_dpor_runs_each_trace_that_the_exhaustive_search_counts(scene: str, policy: str):
    counted, run = found_by("exhaustive", scene, policy), found_by("dpor", scene, policy)
    if counted.findings:
        # It cannot know what the messages that a finding leaves under way would have done.
        assert not run.strategy.complete
        assert run.findings
        assert run.findings <= counted.findings
        return
    assert run.strategy.complete
    assert run.strategy.schedules == run.strategy.traces == counted.strategy.traces
    assert run.outcomes == counted.outcomes


@pytest.mark.parametrize("scene", sorted(THREE_CPUS.keys() - {"three faults"}))
def test_reduction_loses_nothing_on_three_cpus(scene: str):
    plain, reduced = found_by("plain", scene, "classic", cpus=3), found_by("exhaustive", scene, "classic", cpus=3)
    assert (reduced.outcomes, reduced.findings) == (plain.outcomes, plain.findings)


def interleavings(space: Space, state: State) -> int:
    """Count all ways to an end, one by one."""
    if state.stop is not None or not state.queues:
        return 1
    return sum(
        interleavings(space, space.move(state, (channel, way))[0])
        for channel in state.channels
        for way in range(len(space.head_steps(state, channel)))
    )


def test_plain_counts_what_a_plain_recursion_counts():
    counted = found_by("plain", "two writers", "per-vma").strategy
    assert counted.complete
    assert counted.traces == interleavings(counted.space, counted.space.first) > 50_000


def test_the_reduced_search_visits_no_more_states_than_the_plain_one_and_counts_them():
    for policy in ("classic", "spf-v9"):
        plain, reduced = (found_by(name, "two faults", policy).strategy for name in ("plain", "exhaustive"))
        assert reduced.states is not None
        assert plain.states is not None
        assert 0 < reduced.states <= plain.states


def test_a_budget_of_schedules_ends_every_strategy_and_leaves_it_incomplete():
    for name in STRATEGIES:
        search = search_by(name, "two faults", "spf-v9", Budget(schedules=3))
        assert search.strategy.schedules == 3, name
        assert not search.strategy.complete, name
        assert search.strategy.traces is None or name == "dpor", name


def test_a_budget_of_time_ends_every_strategy():
    for name in STRATEGIES:
        asked = Asked(after=5)
        search = search_by(name, "two faults", "spf-v9", Budget(expired=asked))
        assert asked.times >= 5, name
        assert not search.strategy.complete, name


def test_schedules_that_are_cut_make_a_search_incomplete():
    for name in STRATEGIES:
        search = search_by(name, "two faults", "spf-v9", Budget(steps=20, schedules=50, expired=Asked(after=2_000)))
        assert search.strategy.cut > 0, name
        assert not search.strategy.complete, name
        assert search.strategy.depth <= 20, name
        assert not search.outcomes, name
