"""Choices: independent streams, repeatable, replayable."""

import subprocess
import sys

import pytest
from hypothesis import given, strategies as st

from kactors.engine.choices import FirstChoice, RecordingChoices, ReplayDiverged, ReplayedChoices, SeededChoices


@given(st.integers(), st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 1000)), max_size=30))
def test_picks_are_in_range_and_the_same_for_the_same_seed(seed, asked):
    one, other = SeededChoices(seed), SeededChoices(seed)
    for label, n in asked:
        pick = one.pick(label, n)
        assert 0 <= pick < n
        assert other.pick(label, n) == pick


def test_one_more_draw_for_one_purpose_shifts_nothing_for_another():
    plain, busy = SeededChoices(3), SeededChoices(3)
    for _ in range(17):
        busy.pick("line", 100)
    assert [plain.pick("tie", 1000) for _ in range(20)] == [busy.pick("tie", 1000) for _ in range(20)]


def test_streams_and_seeds_differ():
    def draws(seed: int, label: str) -> list[int]:
        choices = SeededChoices(seed)
        return [choices.pick(label, 1 << 30) for _ in range(5)]

    assert len({tuple(draws(seed, label)) for seed in (1, 2) for label in "ab"}) == 4


def test_the_numbers_do_not_depend_on_the_hash_seed():
    program = (
        "from kactors.engine.choices import SeededChoices as S; print([S(5).pick(str(n), 999) for n in range(20)])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(outputs) == 1


def test_recorded_picks_replay():
    recording = RecordingChoices(SeededChoices(9))
    picks = [recording.pick("a", 10), recording.pick("b", 20)]
    replayed = ReplayedChoices(recording.picks)
    assert [replayed.pick("a", 10), replayed.pick("b", 20)] == picks
    with pytest.raises(ReplayDiverged, match=r"decision 3: .*the recording has ended"):
        replayed.pick("a", 10)


def test_a_replay_that_asks_for_something_else_says_where():
    with pytest.raises(ReplayDiverged, match=r"decision 1: the run asks for \('b', 10\), but the recording has"):
        ReplayedChoices([("a", 10, 3)]).pick("b", 10)


def test_the_first_choice_is_zero():
    assert FirstChoice().pick("anything", 5) == 0
