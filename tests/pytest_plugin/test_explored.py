"""The fixture explored and its mark: outcomes of all interleavings, or the shrunk story of one that ends badly."""

import re

import pytest
import trio

from kactors.engine.errors import UsageError
from kactors.pytest_plugin import SearchFailure, outcome
from tests.pytest_plugin.conftest import text

AREA = 0x7E00_0000_0000
MAIL = {"workload": "munmap-vs-fault", "costs": {"mmu_gather_pages": 3}}
DEADLOCKS = """
@pytest.mark.explore(policy="broken-blocking-spin")
{define} test_the_mail(explored):
    {call}(**MAIL)
"""


async def area(t):
    await t.mmap(2 * t.page_size, address=AREA)
    await t.touch(AREA + t.page_size)


async def fault(t):
    t.note("r0", await t.touch(AREA))


async def unmap(t):
    await t.munmap(AREA, t.page_size)


@pytest.mark.explore(strategy="exhaustive")
def test_outcomes_of_all_interleavings(explored):
    found = explored(policy="spf-v9", program=[fault, unmap], set_up=area)
    assert found.complete
    assert found.outcomes == {outcome(r0=True), outcome(r0=False)}
    assert found.schedules >= 2


@pytest.mark.explore(strategy="random", max_schedules=3, policy="classic", seed=5)
def test_the_mark_says_how_and_what(explored):
    found = explored(program=[fault, unmap], set_up=area)
    searched = found.searched
    assert (searched.strategy, searched.schedules, searched.seed) == ("random", 3, 5)
    assert (searched.scenario.policy, found.complete) == ("classic", False)
    assert explored(program=[fault, unmap], set_up=area, policy="per-vma").searched.scenario.policy == "per-vma"


@pytest.mark.explore(strategy="exhaustive", max_steps=3)
def test_long_schedules_are_given_up(explored):
    found = explored(program=[fault, unmap], set_up=area)
    assert not found.complete
    assert found.searched.cut > 0


@pytest.mark.explore(strategy="random", max_schedules=1)
@pytest.mark.seeds(2, first=5)
def test_seeds_reach_the_strategy(explored, seed):
    assert explored(program=[fault, unmap], set_up=area).searched.seed == seed


def test_a_check_of_each_end(explored):
    def check(seen):
        assert seen["r0"] == "True", "the touch came too late"

    with pytest.raises(SearchFailure, match=r"at_end is violated: the touch came too late \(at an end with r0=False\)"):
        explored(program=[fault, unmap], set_up=area, at_end=check)
    explored(program=[fault], set_up=area, at_end=check)


async def test_a_search_can_be_cancelled(explored):
    ends = []
    with trio.CancelScope() as scope:
        scope.cancel()
        await explored.cancellable(program=[fault, unmap], set_up=area, at_end=ends.append)
    assert scope.cancelled_caught
    assert not ends


async def test_while_it_goes_on_others_run(explored):
    turns = []

    async def other():
        while True:
            turns.append(1)
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        found = await explored.cancellable(program=[fault, unmap], set_up=area)
        nursery.cancel_scope.cancel()
    assert found.outcomes == explored(program=[fault, unmap], set_up=area).outcomes
    assert len(turns) > 2


def test_what_cannot_be_searched_is_told_in_a_line(explored):
    with pytest.raises(UsageError, match="3 threads on 2 CPUs"):
        explored(program=[fault] * 3, set_up=area, cpus=2)


@pytest.mark.parametrize(("define", "call"), [("def", "explored"), ("async def", "await explored.cancellable")])
def test_a_finding_is_told_as_a_story(inner, define, call):
    result = inner(DEADLOCKS.format(define=define, call=call))
    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines(
        [
            rf">\s+{re.escape(call)}\(\*\*MAIL\)",
            r"E .*an interleaving under broken-blocking-spin ends badly: deadlock",
            r"-+ kactors finding -+",
            r".*CPU0 -> IPI ack of cpu1 -> PTE lock of ptl@\w+ -> CPU0",
            r"\s+CPU0\s+CPU1",
            r"\s+\d+\s.*spf_v9.py:\d+",
            r"-+ kactors replay -+",
            r"pytest test_inner.py::test_the_mail --replay-schedule 'kactors1:.*'",
        ]
    )
    assert "kactors/checker" not in text(result)
    assert "Traceback" not in text(result)


def test_the_line_replays_the_finding(inner):
    first = inner(DEADLOCKS.format(define="def", call="explored"))
    (line,) = [line for line in first.outlines if line.startswith("pytest test_inner.py")]
    schedule = line.partition("--replay-schedule '")[2].rstrip("'")
    again = inner(DEADLOCKS.format(define="def", call="explored"), "--replay-schedule", schedule)
    again.assert_outcomes(failed=1)
    assert line in again.outlines
    mended = DEADLOCKS.replace("broken-blocking-spin", "spf-v9").format(define="def", call="explored")
    other = inner(mended, "--replay-schedule", schedule)
    other.stdout.fnmatch_lines(
        ["E *--replay-schedule: it is of no scenario, policy or version that this test explores"]
    )


def test_a_replayed_program_that_is_mended_passes(inner):
    source = """
@pytest.mark.explore(strategy="exhaustive")
def test_it(explored):
    def check(seen):
        assert seen["r0"] in {0}

    assert explored(program=[fault, unmap], set_up=area, at_end=check).complete
"""
    first = inner(source.format(["True"]))
    (line,) = [line for line in first.outlines if line.startswith("pytest test_inner.py")]
    schedule = line.partition("--replay-schedule '")[2].rstrip("'")
    inner(source.format(["True", "False"]), "--replay-schedule", schedule).assert_outcomes(passed=1)
    changed = source.format(["True"]).replace("[fault, unmap]", "[unmap, fault]")
    again = inner(changed, "--replay-schedule", schedule)
    again.stdout.fnmatch_lines(["E *the schedule does not fit: program or policy have changed since it was found"])


@pytest.mark.parametrize(
    ("mark", "says"),
    [
        ("strategy='luck'", "explore: there is no strategy luck; there are portfolio, exhaustive, *"),
        ("policy='mine'", "--policy mine: no such policy; there are classic, *"),
        ("polcy='spf-v9'", "a scenario has no polcy; did you mean policy?"),
        ("'exhaustive'", "explore('exhaustive'): its arguments have names, *"),
        ("max_schedules=0", "explore: max_schedules = 0 is no whole number from 1 on"),
        ("max_steps='many'", "explore: max_steps = 'many' is no whole number from 1 on"),
    ],
)
def test_a_wrong_mark_is_one_line_before_any_test_runs(inner, mark, says):
    result = inner(f"""
@pytest.mark.explore({mark})
def test_it(explored):
    explored(program=[fault], set_up=area)
""")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"test_inner.py::test_it: {says.replace('[', '[[]')}"])
    assert "Traceback" not in text(result)


def test_a_mark_without_its_fixture(inner):
    result = inner("@pytest.mark.explore(seed=1)\ndef test_it():\n    pass\n")
    result.stdout.fnmatch_lines(["test_inner.py::test_it: explore(seed=1): the test has to take the fixture explored"])
