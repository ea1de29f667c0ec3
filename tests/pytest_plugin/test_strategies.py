"""Hypothesis' strategies: programs that are valid, that run and are searched, shrunk to what matters."""

import subprocess
import sys

import pytest
from hypothesis import HealthCheck, find, given, settings, strategies as st

from kactors.engine.errors import UsageError
from kactors.pytest_plugin import Call, PageProgram
from kactors.pytest_plugin.page_program import NAMES
from kactors.pytest_plugin.strategies import calls, programs
from tests.pytest_plugin.conftest import text

LIGHT = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
FEW = settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow])


@given(programs(threads=(1, 3), pages=3, calls_max=4))
def test_programs_stay_within_their_pages(program):
    assert 1 <= len(program.threads) <= 3
    for thread in program.threads:
        assert 1 <= len(thread) <= 4
        assert all(call.first >= 0 and call.pages >= 1 and call.first + call.pages <= 3 for call in thread)


@given(program=programs(threads=(1, 3), calls_max=4), policy=st.sampled_from(["classic", "spf-v9", "per-vma"]))
@LIGHT
async def test_they_run(machine, program, policy):
    m = machine(program=program, policy=policy, events_max=100_000)
    assert (await m.run()).stop.kind == "quiescent"


@pytest.mark.explore(strategy="exhaustive")
@given(program=programs(threads=(2, 2), calls_max=1))
@FEW
def test_they_are_searched(explored, program):
    assert explored(program=program).complete


@pytest.mark.explore(strategy="random", max_schedules=5)
@given(program=programs(threads=(1, 2), calls_max=2))
@FEW
async def test_they_are_searched_in_async_tests(explored, program):
    await explored.cancellable(program=program)


@pytest.mark.parametrize("name", NAMES)
def test_every_call_is_drawn(name):
    assert find(calls(), lambda call: call.name == name) == Call(name, 0)


def test_a_program_is_printed_as_one_writes_it():
    program = PageProgram([[Call("store", 0), Call("munmap", 0, 2)], [Call("load", 1)]], pages=3)
    assert repr(program) == "PageProgram([[Call('store', 0), Call('munmap', 0, 2)], [Call('load', 1)]], pages=3)"
    assert eval(repr(program)) == program


def test_a_failing_program_is_shrunk(inner):
    result = inner(
        """
from hypothesis import Phase, given, settings
from kactors.pytest_plugin.strategies import programs


@pytest.mark.explore(strategy="exhaustive")
@given(program=programs(threads=(1, 2), names=("store", "munmap")))
@settings(max_examples=100, database=None, derandomize=True, deadline=None, phases=[Phase.generate, Phase.shrink])
def test_it(explored, program):
    def check(seen):
        assert "False" not in seen.values(), "SIGSEGV"

    explored(program=program, at_end=check)
"""
    )
    result.assert_outcomes(failed=1)
    shown = text(result)
    assert "an interleaving under spf-v9 ends badly: at_end is violated: SIGSEGV" in shown
    assert "program = PageProgram([[Call('munmap', 0), Call('store', 0)]], pages=2)" in shown
    assert "kactors finding" in shown
    assert "Hypothesis drew the program" in shown


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"names": ("fork",)}, "choose from load, store"),
        ({"names": ()}, "choose from load, store"),
        ({"pages": 0}, "from 1 to 256"),
        ({"threads": (0, 2)}, "at least 1"),
        ({"calls_max": 0}, "at least 1"),
    ],
)
def test_wrong_arguments(options, says):
    with pytest.raises(UsageError, match=says):
        programs(**options)


def test_without_hypothesis_one_line_says_what_to_install():
    script = """
import sys
sys.modules["hypothesis"] = None
from kactors.engine.errors import UsageError
from kactors.pytest_plugin.strategies import programs
try:
    programs()
except UsageError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "kactors' strategies need Hypothesis: pip install 'kactors[test]'\n"
