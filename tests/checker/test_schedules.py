"""A schedule as text: read back as it was, refused where it would mean something else."""

from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from kactors.checker.schedules import digest, read_schedule, write_schedule
from kactors.checker.space import STORES
from kactors.engine.errors import UsageError
from protocols.scenario import Scenario

SCENARIO = Scenario(workload="same-address", machine="small")
CHANNELS = st.tuples(st.integers(0, 12), st.integers(0, 12) | st.just(STORES))
MOVES = st.lists(st.tuples(CHANNELS, st.sampled_from([0, 0, 1, 7])), max_size=40)


@given(MOVES)
def test_what_was_written_is_read_back(moves):
    assert read_schedule(SCENARIO, f" {write_schedule(SCENARIO, moves)}\n") == tuple(moves)


@pytest.mark.parametrize("damaged", ["x", "0>", "0,,1", "0*", "0.", "0>1>2", "0*9999999", "-1"])
def test_a_damaged_schedule_is_refused(damaged: str):
    with pytest.raises(UsageError, match="schedule"):
        read_schedule(SCENARIO, f"kactors1:{digest(SCENARIO)}:{damaged}")


def test_every_option_that_changes_what_happens_counts():
    others = (
        {"policy": "classic"},
        {"policy_options": {"pmd_marker": "collapsing"}},
        {"options": {"t": 3}},
        {"machine": "x86-vm-16"},
        {"cpus": 3},
        {"costs": {"mmu_gather_pages": 3}},
    )
    marks = {digest(SCENARIO.model_copy(update=other)) for other in others}
    assert len(marks | {digest(SCENARIO)}) == len(others) + 1
    assert digest(SCENARIO.model_copy(update={"seed": 9, "until_ns": 5})) == digest(SCENARIO)


def test_a_policy_of_ones_own_counts_with_its_text(tmp_path: Path):
    file = tmp_path / "mine.py"
    scenario = SCENARIO.model_copy(update={"policy": f"{file}:Mine"})
    file.write_text("one")
    written = write_schedule(scenario, [((0, STORES), 0)])
    assert read_schedule(scenario, written) == (((0, STORES), 0),)
    file.write_text("two")
    with pytest.raises(UsageError, match="another scenario, policy or version"):
        read_schedule(scenario, written)
