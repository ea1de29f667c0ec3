"""What a search is told as: a story with its replay line, or what was covered and what was not, in plain words."""

import shlex

import pytest

from kactors.report.search_report import replay_report, search_report
from protocols.roles import heard_by
from protocols.scenario import Scenario
from protocols.search import Found, Searched, StoryStep
from protocols.stop import Livelock, Quiescent, Violation
from tests.report.samples import DEADLOCK

SCENARIO = Scenario(workload="munmap-vs-fault", machine="small", options={"pages": 6})
COVERED = Searched(
    version="0",
    scenario=SCENARIO,
    strategy="portfolio",
    seed=7,
    complete=True,
    schedules=1234,
    steps=45678,
    depth=70,
    cut=0,
    states=9012,
    traces=1895,
    taken={"mm": {"DownRead": 3, "UpRead": 4}, "cpu": {"Pmd": 5}},
)
STEPS = (
    StoryStep(sender="cpu0", receiver="mm", on="cpu0", says="DownWrite", does="down_write(mmap_sem)"),
    StoryStep(sender="cpu1", receiver="ptl@7e", on="cpu1", says="LockPte", does="spin_lock(ptl) -> waits"),
)
FOUND = Found(
    stop=DEADLOCK,
    schedule="kactors1:00:0,3>0*2",
    story=STEPS,
    critical=1,
    shrunk_from=34,
    scenario=SCENARIO.model_copy(update={"options": {"pages": 1}, "cpus": 2}),
)


def told(**changes):
    return search_report(COVERED.model_copy(update=changes))


def section(text, title):
    """The lines of the part that begins with this title, as one."""
    (part,) = [part for part in text.split("\n\n") if part.lstrip().startswith(title)]
    return " ".join(part.split())


def test_a_search_tells_what_was_searched_and_how():
    text = told()
    assert section(text, "scenario") == (
        "scenario munmap-vs-fault pages=6 under spf-v9 on small "
        "search portfolio, seed 7: 1,234 schedules, 45,678 deliveries, the longest schedule 70"
    )
    assert ", seed" not in told(strategy="exhaustive")


def test_a_complete_search_tells_how_much_there_was():
    assert section(told(), "complete") == (
        "complete every interleaving is covered, and none is a finding 1,895 Mazurkiewicz traces, 9,012 states, "
        "70 deliveries deep"
    )
    assert "12,345 interleavings, 9,012 states" in told(strategy="plain", traces=12345, interleavings=12345)


def test_an_incomplete_search_tells_in_plain_words_what_is_open():
    text = section(told(complete=False, traces=None, cut=2), "not complete")
    assert "the search was ended; 9,012 states had been seen" in text
    assert "2 schedules were longer than --max-steps" in text
    assert "Mazurkiewicz" not in text
    drawn = section(told(complete=False, traces=None, strategy="pct", missed=0.25), "not complete")
    assert "schedules are drawn" in drawn
    assert "missed with a probability of at most 0.2500" in drawn


def test_what_was_taken_and_what_never_was_are_all_that_an_actor_understands():
    text = told()
    taken, never = section(text, "Taken"), section(text, "Never taken")
    assert "mm DownRead 3, UpRead 4" in taken
    for role in ("mm", "cpu", "ptl", "allocator", "khugepaged"):
        for message in heard_by(role):
            name = message.__name__
            assert (name in COVERED.taken.get(role, {})) or name in never.replace(",", "").split()
    assert "DownRead" not in never.split("mm")[-1]


def test_outcomes_are_counted_where_threads_saw_something():
    outcomes = (((("r0", "1"), ("r1", "none")), 1200), ((("r0", "2"),), 34))
    lines = told(outcomes=outcomes).splitlines()
    assert "      1,200  r0=1 r1=none" in lines
    assert "         34  r0=2" in lines
    assert "outcome" not in told(outcomes=(((), 9),))


def test_a_finding_is_told_as_its_graph_its_story_and_the_line_that_replays_it():
    text = told(found=FOUND, complete=False)
    assert "DEADLOCK: nothing is left to deliver" in text
    assert "CPU0 -> IPI ack of cpu1 -> PTE lock of ptl@7e -> CPU0" in text
    assert "2 steps; the schedule that was found had 34, in a smaller scenario (pages=1, cpus=2)" in text
    assert "down_write(mmap_sem)" in text
    assert "critical: from here on every continuation fails" in " ".join(text.split())
    # No time passes in a search.
    assert "0.000000 ms" not in text
    assert " ms" not in text


def test_the_replay_line_is_one_line_that_a_shell_reads_back():
    text = told(found=FOUND, properties=("./my own.py:Mine",))
    line = text.splitlines()[-1]
    assert shlex.split(line) == [
        *("kactors", "replay-schedule", "kactors1:00:0,3>0*2", "munmap-vs-fault"),
        *("--machine", "small", "--policy", "spf-v9", "--cpus", "2", "--set", "pages=1"),
        *("--property", "./my own.py:Mine"),
    ]


def test_the_same_scenario_is_not_called_smaller():
    assert "smaller" not in told(found=FOUND.model_copy(update={"scenario": SCENARIO}))


@pytest.mark.parametrize(
    ("stop", "words"),
    [
        (Violation(property="store_lost", text="CPU1 reads 0"), "VIOLATION of store_lost *** CPU1 reads 0"),
        (Livelock(text="round and round"), "LIVELOCK *** round and round"),
    ],
)
def test_other_findings_are_named(stop, words):
    assert words in " ".join(told(found=FOUND.model_copy(update={"stop": stop})).split())


def test_a_replay_tells_the_same_story():
    text = told(found=FOUND.model_copy(update={"scenario": SCENARIO}))
    again = replay_report(FOUND.model_copy(update={"scenario": SCENARIO}), ())
    assert again in text + "\n"


def test_a_replay_without_a_finding_says_so():
    text = replay_report(FOUND.model_copy(update={"stop": Quiescent(), "critical": None}), ())
    assert "ends after 34 deliveries without a finding (every thread has finished)" in text
    assert "down_write(mmap_sem)" in text


def test_no_line_but_the_replay_line_is_too_long_for_a_commit_message():
    for text in (told(), told(found=FOUND), told(complete=False, strategy="pct", missed=0.5)):
        lines = [line for line in text.splitlines() if "replay-schedule" not in line]
        assert max(map(len, lines)) <= 100
        assert text == "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
