"""A schedule is drawn in columns that fit into a commit message, with the line of code and the critical step."""

import pytest

from kactors.report.story import HOPELESS, story
from protocols.search import StoryStep


def step(on, does, source="spf_v9.py:12: pass"):
    return StoryStep(sender=on, receiver="mm", on=on, says="Said", does=does, source=source)


def test_each_step_stands_in_the_column_of_its_cpu():
    steps = [step("cpu0", "down_write(mmap_sem)"), step("cpu1", "spin_lock(ptl) -> waits", "")]
    assert story(steps, None, width=70) == [
        "      CPU0                      CPU1",
        "      ----                      ----",
        "  1   down_write(mmap_sem)                                spf_v9.py:12",
        "  2                             spin_lock(ptl) -> waits",
    ]


def columns(lines):
    """Where the columns begin."""
    return {name: lines[0].index(name) for name in lines[0].split()}


def test_the_columns_are_the_cpus_by_number_and_then_the_daemons():
    lines = story([step("khugepaged", "a"), step("cpu10", "b"), step("cpu2", "c")], None)
    assert lines[0].split() == ["CPU2", "CPU10", "khugepaged"]
    at = columns(lines)
    assert [lines[2].index("a "), lines[3].index("b "), lines[4].index("c ")] == [
        at["khugepaged"],
        at["CPU10"],
        at["CPU2"],
    ]


def test_steps_are_numbered_and_name_their_line_of_code():
    lines = story([step("cpu0", "x", "unmap.py:7: await y"), step("cpu0", "y", "")], None)
    assert lines[2].split() == ["1", "x", "unmap.py:7"]
    assert lines[3].split() == ["2", "y"]


def test_the_critical_step_is_marked_and_explained_at_its_place():
    steps = [step("cpu0", "x"), step("cpu1", "y"), step("cpu0", "z")]
    lines = story(steps, 1)
    assert [line.split()[0] for line in lines[2:4]] == ["1", "2*"]
    told = " ".join(" ".join(lines[4:-1]).split())
    assert told == f"* {HOPELESS}"
    assert lines[4].index("*") == columns(lines)["CPU1"]
    assert lines[-1].split()[:2] == ["3", "z"]
    assert not any("*" in line for line in story(steps, None))


@pytest.mark.parametrize("cpus", [1, 2, 3, 5])
def test_no_line_is_longer_than_a_commit_message_bears_and_no_word_is_lost(cpus):
    said = "detach_vmas_to_be_unmapped 0x7effffc01000-0x7effffc02000 -> vma 2 seq 0"
    steps = [step(f"cpu{number}", said, "address_space.py:444: await nothing") for number in range(cpus)]
    lines = story(steps, cpus - 1)
    assert max(map(len, lines)) <= 100
    drawn = "".join("".join(line[: line.find("address_space.py")] if "address" in line else line) for line in lines[2:])
    assert drawn.replace(" ", "").count(said.replace(" ", "")) == cpus


def test_a_wait_is_never_told_by_blanks_at_the_end_of_a_line():
    assert all(line == line.rstrip() for line in story([step("cpu0", "x", ""), step("cpu1", "y", "")], 0))
