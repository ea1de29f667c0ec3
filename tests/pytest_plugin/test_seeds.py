"""``@pytest.mark.seeds(n)``: a test for each seed, which its id and its machine have."""

import pytest

from tests.pytest_plugin.conftest import text


@pytest.mark.seeds(3, first=7)
def test_each_seed_is_the_machines(machine, seed):
    assert 7 <= seed < 10
    assert machine(workload="same-address").scenario.seed == seed
    assert machine(workload="same-address", seed=1).scenario.seed == 1


def test_without_the_mark_there_is_one(seed, machine):
    assert seed == machine(workload="same-address").scenario.seed == 1


def test_the_id_and_the_report_name_the_failing_seed(inner):
    result = inner("""
@pytest.mark.seeds(4)
async def test_it(machine, seed):
    m = machine(program=[fault, unmap], set_up=area)
    await m.run()
    assert seed != 2
""")
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(
        ["*test_it[[]seed=2[]]*", "policy spf-v9, seed 2, at *", "FAILED *test_it[[]seed=2[]]*"]
    )


@pytest.mark.parametrize(
    ("mark", "says"),
    [
        ("", "seeds(): write seeds(n) or seeds(n, first=100), whole numbers"),
        ("'3'", "seeds('3'): write seeds(n) or seeds(n, first=100), whole numbers"),
        ("3, last=9", "seeds(3, last=9): write seeds(n) or seeds(n, first=100), whole numbers"),
        ("0", "seeds(0): from 1 to 1000000 seeds, the first from 0 on"),
    ],
)
def test_a_wrong_mark_is_one_line(inner, mark, says):
    result = inner(f"@pytest.mark.seeds({mark})\ndef test_it(seed):\n    pass\n")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"test_inner.py::test_it: {says}"])
    assert "Traceback" not in text(result)


def test_a_test_that_takes_no_seed(inner):
    result = inner("@pytest.mark.seeds(3)\ndef test_it():\n    pass\n")
    result.stdout.fnmatch_lines(["*seeds(3): the test has to take the fixture seed, as an argument of its own"])
