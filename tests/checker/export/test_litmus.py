"""A finding as a litmus test: it keeps to herd7's grammar, and what it asks for can happen."""

import shutil
import subprocess

import pytest

from kactors.checker.export.litmus import litmus
from kactors.checker.search import Search, make_strategy
from kactors.checker.shrink import shrink
from kactors.checker.strategies.strategy import Budget
from kactors.checker.subject import Subject
from kactors.engine.errors import UsageError
from protocols.scenario import Scenario
from tests.checker.export.litmus_c import Parser, can_happen

FINDINGS = {
    "mail-deadlock": "broken-blocking-spin",
    "zero-page": "broken-blocking-spin",
    "two-faults": "broken-no-pte-recheck",
    "munmap-page": "broken-no-vma-checks",
    "collapse-fault": "broken-no-checks",
}


def finding_of(workload):
    subject = Subject(Scenario(workload=workload, policy=FINDINGS[workload], machine="small", cpus=2))
    stop, moves = Search(subject, make_strategy("exhaustive", subject, Budget(), 1)).run().finding
    return subject, shrink(subject.space, moves, stop)


@pytest.fixture(scope="module")
def texts():
    return {workload: litmus(*finding_of(workload)) for workload in FINDINGS}


@pytest.mark.parametrize("workload", FINDINGS)
def test_it_keeps_to_the_grammar_and_the_bad_outcome_can_happen(texts, workload):
    parsed = Parser(texts[workload]).parse()
    assert 2 <= len(parsed.programs) <= 3
    assert can_happen(parsed)


@pytest.mark.parametrize("workload", FINDINGS)
def test_the_bad_outcome_needs_every_read_that_it_names(texts, workload):
    parsed = Parser(texts[workload]).parse()
    for place, (name, value) in enumerate(parsed.exists):
        parsed.exists[place] = (name, value + 100)
        assert not can_happen(parsed)
        parsed.exists[place] = (name, value)


def test_a_deadlock_is_a_lock_that_is_not_had_and_an_ack_that_does_not_come(texts):
    parsed = Parser(texts["mail-deadlock"]).parse()
    holder, spinner = parsed.programs
    assert [line[0] for line in holder[-3:]] == ["fence", "smp_store_release", "smp_load_acquire"]
    looks = [line for line in str(spinner).split("(") if "spin_trylock" in line]
    assert len(looks) == 1
    assert {value for name, value in parsed.exists[-1:]} == {0}


def test_a_trylock_in_place_of_the_blocking_lock_lets_the_ack_come(texts):
    """The deadlock's repair in the litmus test itself: he who does not get the lock takes interrupts again."""
    text = texts["mail-deadlock"]
    parsed = Parser(text).parse()
    assert can_happen(parsed)
    ack = next(name for name in parsed.first if name.startswith("ack_"))
    register = next(name for name, _ in parsed.exists if name.startswith("0:"))
    parsed.programs[1].append(("smp_store_release", ack, 1))
    parsed.exists = [(register, 1), *(clause for clause in parsed.exists if clause[0] != register)]
    assert can_happen(parsed)


def test_a_schedule_without_a_finding_is_refused():
    subject = Subject(Scenario(workload="two-faults", policy="spf-v9", machine="small", cpus=2))
    end = next(iter(make_strategy("exhaustive", subject, Budget(schedules=1), 1).ends()))
    with pytest.raises(UsageError, match="without a finding"):
        litmus(subject, end.moves)


def test_a_finding_about_a_files_pages_is_refused():
    subject = Subject(Scenario(workload="file-copy", policy="classic-without-pte_same", machine="small", cpus=2))
    _, moves = Search(subject, make_strategy("exhaustive", subject, Budget(), 1)).run().finding
    with pytest.raises(UsageError, match="a litmus test has no page locks"):
        litmus(subject, moves)


@pytest.mark.skipif(shutil.which("herd7") is None, reason="not installed: herd7; our own grammar has checked the tests")
@pytest.mark.parametrize("workload", FINDINGS)
def test_herd7_says_that_the_bad_outcome_can_happen(texts, workload, tmp_path):
    (tmp_path / "test.litmus").write_text(texts[workload])
    words = ["herd7", "-conf", "linux-kernel.cfg", tmp_path / "test.litmus"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode and "linux-kernel.cfg" in done.stderr:
        pytest.skip("herd7 is here without the kernel's memory model")
    assert "Observation" in done.stdout
    assert " Never " not in done.stdout
