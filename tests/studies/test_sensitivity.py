"""kactors profile --sensitivity: which values are changed, by how much, and what is told of the figures."""

import pytest

from kactors.engine.errors import UsageError
from kactors.machines import load_machine, machine_names, profile
from kactors.policies import find_policy
from kactors.statistics import mean_interval
from kactors.studies import sensitivity
from kactors.studies.sensitivity_text import sensitivity_text
from kactors.studies.targets import LONE_FAULT_NS, targets_of
from kactors.workloads import WORKLOADS
from tests.studies.efforts import small_effort

MACHINE = "x86-vm-16"
FITTED = {key: entry for key, entry in profile(MACHINE).items() if entry.origin == "fitted"}


@pytest.fixture(scope="module")
def told():
    words = []
    return words, sensitivity.ask(MACHINE, small_effort(words.append, events_max=40_000))


@pytest.fixture
def answer(told):
    return told[1]


@pytest.mark.parametrize("name", machine_names())
def test_each_target_is_something_that_can_run(name):
    for target in targets_of(name):
        machine = load_machine(target.scenario(seed=1).machine)
        assert target.workload in WORKLOADS
        assert find_policy(target.policy).name == target.policy
        assert target.threads >= 1
        assert target.per_s > 0
        assert target.source
        assert target.scenario(7, {"wake_ns": 5}).costs == {"wake_ns": 5}
        assert machine.name == name


def test_the_figures_that_profiles_are_held_against_are_there():
    assert {target.threads for target in targets_of("zen4-vm-2")} == {1, 2, 4}
    assert [(target.threads, target.policy) for target in targets_of("p8-80")] == [(160, "classic"), (160, "spf-v9")]
    assert [(target.threads, target.policy) for target in targets_of("ivb-ex-120")] == [
        (60, "classic"),
        (60, "spf-srcu"),
    ]
    for name, fault_ns in LONE_FAULT_NS.items():
        (target,) = targets_of(name)
        assert target.per_s == pytest.approx(1e9 / fault_ns)
    assert targets_of("small") == []


def test_each_fitted_value_is_changed_by_a_fifth_both_ways_whatever_its_range():
    changed = {(key, round(entry.value * factor)) for key, entry in FITTED.items() for factor in (0.8, 1.2)}
    assert set(sensitivity.variants(MACHINE, ["fitted"])) == changed
    assert len(changed) == 2 * len(FITTED) > 0


def test_a_value_goes_no_further_than_the_parameter_can(tmp_path):
    own = tmp_path / "mine.toml"
    entries = (
        'rwsem_steal_percent = { value = 95, fitted = "x", fits = [0, 100], range = [0, 100] }',
        'cpus_per_core = { value = 1, fitted = "x", fits = [1, 2], range = [1, 2] }',
        'tlbie_ns = { value = 0, fitted = "x", fits = [0, 2], range = [0, 2] }',
    )
    own.write_text("\n".join(['inherits = "small"', *entries]), encoding="utf-8")
    assert sensitivity.variants(str(own), ["fitted"]) == [("rwsem_steal_percent", 76), ("rwsem_steal_percent", 100)]


def test_assumed_values_are_changed_where_that_is_asked_for():
    keys = {key for key, _ in sensitivity.variants(MACHINE, ["fitted", "assumed"])}
    assert keys > set(FITTED)
    assert {profile(MACHINE)[key].origin for key in keys} == {"fitted", "assumed"}


def test_as_many_runs_are_announced_as_are_made(told):
    assert len(told[0]) == sensitivity.runs(MACHINE, ["fitted"]) == 2 * (1 + 2 * len(FITTED))


def test_every_change_is_told_for_every_figure_beside_the_profile_as_it_is(answer):
    assert [figure.name for figure in answer.figures] == [target.name for target in targets_of(MACHINE)]
    wanted = [
        (*variant, target.name)
        for variant in sensitivity.variants(MACHINE, ["fitted"])
        for target in targets_of(MACHINE)
    ]
    assert [(change.parameter, change.changed, change.figure) for change in answer.changes] == wanted
    published = {figure.name: figure for figure in answer.figures}
    for change in answer.changes:
        figure = published[change.figure]
        assert change.value == FITTED[change.parameter].value
        assert change.ratio.mean == pytest.approx(change.simulated.mean / figure.simulated.mean)
        assert change.error == pytest.approx(change.simulated.mean / figure.published - 1)


def test_the_text_has_a_line_for_each_with_its_interval(answer):
    text = sensitivity_text(answer)
    for figure in answer.figures:
        assert f"{figure.published:,.0f}" in text
    lines = [line for line in text.splitlines() if "x (" in line and not line.startswith("  -")]
    assert len(lines) >= len(answer.changes)


def test_what_may_be_chance_is_marked(answer):
    def ratio(low, high):
        return mean_interval([1.0, 1.0]).model_copy(update={"mean": (low + high) / 2, "low": low, "high": high})

    changes = [
        answer.changes[0].model_copy(update={"ratio": ratio(*ends), "met": True}) for ends in ((0.9, 1.2), (1.1, 1.2))
    ]
    text = sensitivity_text(answer.model_copy(update={"changes": tuple(changes)}))
    assert "1 of 2 changes move a figure by more than chance" in text
    assert "~ 1.05x (0.90 to 1.20)" in text
    assert "~ 1.15x" not in text


def test_a_machine_without_fitted_values_says_so():
    answer = sensitivity.ask("rome-2s-256", small_effort(events_max=5_000), origins=())
    assert answer.changes == ()
    assert "None of its values is fitted" in sensitivity_text(answer)


@pytest.mark.parametrize("name", ["small", "generic:8"])
def test_of_a_machine_of_which_nothing_is_known_that_is_told(name):
    with pytest.raises(UsageError, match=f"machine {name}: no figure is known of it"):
        sensitivity.ask(name, small_effort())
