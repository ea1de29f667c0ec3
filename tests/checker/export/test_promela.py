"""spin says of an exported scenario what the search says of it, to the state."""

from collections import Counter

import pytest

from kactors.checker.export import reached as reached_module
from kactors.checker.export.promela import count_ends, promela
from kactors.checker.export.reached import reach
from kactors.checker.subject import Subject
from kactors.engine.errors import UsageError
from protocols.scenario import Scenario
from protocols.stop import Deadlock, Violation
from tests.checker.export.spin import needs_spin, verify

SCENES = {
    "two-faults": ("spf-v9", {"clean"}),
    "munmap-page": ("spf-v9", {"clean"}),
    "mail-deadlock": ("broken-blocking-spin", {"clean", "in deadlock"}),
    "zero-page": ("broken-blocking-spin", {"clean", "in deadlock"}),
    "two-faults ": ("broken-no-pte-recheck", {"clean", "in store_lost", "in page_accounting"}),
    "collapse-munmap": ("classic", {"clean"}),
}


def subject_of(name):
    return Subject(Scenario(workload=name.strip(), policy=SCENES[name][0], machine="small", cpus=2))


def outcome_of(subject, state):
    registers = subject.outcome(state.watched)
    return " ".join(f"{register}={value}" for register, value in registers) or "nothing was read"


@needs_spin
@pytest.mark.parametrize("name", SCENES)
def test_spin_stores_our_states_and_finds_our_ends(name, tmp_path):
    subject = subject_of(name)
    spin = verify(promela(subject), tmp_path)
    reached = reach(subject.space)
    stops = [subject.space.verdict(state) for state in reached.ends]
    rested = [
        state
        for state, stop in zip(reached.ends, stops, strict=True)
        if state.stop is None and not isinstance(stop, Deadlock)
    ]
    # The first state, before any process runs, is spin's own; at_rest's look makes one more of each end in peace.
    assert spin.stored == reached.states + 1 + len(rested)
    assert Counter(spin.outcomes) == Counter(outcome_of(subject, state) for state in rested)
    assert (spin.errors > 0) == (SCENES[name][1] != {"clean"})
    if any(isinstance(stop, Deadlock) for stop in stops):
        assert spin.first == "invalid end state"
    elif spin.errors:
        assert spin.first.startswith("assertion violated")
    found = {stop.property for stop in stops if isinstance(stop, Violation)}
    assert set(spin.found) == found


@pytest.mark.parametrize("name", SCENES)
def test_the_head_of_a_model_says_what_kactors_found(name):
    subject = subject_of(name)
    reached = reach(subject.space)
    ends = count_ends(subject, reached)
    assert set(ends) == SCENES[name][1]
    told = ", ".join(f"{count} end {kind}" for kind, count in sorted(ends.items()))
    assert f"kactors: {reached.states} states, {told}." in promela(subject)


def test_a_scene_with_too_many_states_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(reached_module, "STATES_MAX", 100)
    with pytest.raises(UsageError, match="more than 100 states"):
        promela(subject_of("two-faults"))
