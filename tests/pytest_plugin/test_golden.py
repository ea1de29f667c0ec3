"""Golden traces: compared, written on demand and never in CI, told by the first line that differs."""

import pytest

from kactors import Scenario, run
from kactors.observers.trace_text import TextTrace
from kactors.pytest_plugin.golden_traces import Golden, divergence, refused_under_ci
from tests.pytest_plugin.conftest import text

TEST = """
@pytest.mark.parametrize("seed", [{seed}], ids=["a b"])
async def test_it(machine, golden, seed):
    m = machine(program=[fault, unmap], set_up=area, seed=seed)
    await m.run()
    golden(m)
    golden("two\\nlines\\n", name="other")
"""


def test_written_kept_compared(inner, pytester):
    missing = inner(TEST.format(seed=1))
    missing.assert_outcomes(failed=1)
    missing.stdout.fnmatch_lines(["E *there is no golden trace *; run pytest with --update-traces to write it"])
    written = inner(TEST.format(seed=1), "--update-traces")
    written.assert_outcomes(passed=1)
    files = sorted(path.name for path in (pytester.path / "golden").iterdir())
    assert files == ["test_inner.test_it_a_b.other.txt", "test_inner.test_it_a_b.txt"]
    written.stdout.fnmatch_lines(["*golden traces written*", *(f"golden/{name}" for name in files)])
    inner(TEST.format(seed=1)).assert_outcomes(passed=1)
    again = inner(TEST.format(seed=1), "--update-traces")
    assert "golden traces written" not in text(again)


def test_the_first_divergence_is_shown(inner):
    inner(TEST.format(seed=1), "--update-traces")
    differs = inner(TEST.format(seed=2))
    differs.assert_outcomes(failed=1)
    differs.stdout.re_match_lines([r"E .*the trace differs from .* from line \d+ on", r"E\s+- ", r"E\s+\+ "])


def test_ci_rewrites_nothing(inner, pytester, monkeypatch):
    inner(TEST.format(seed=1), "--update-traces")
    before = {path: path.read_text() for path in (pytester.path / "golden").iterdir()}
    monkeypatch.setenv("CI", "true")
    pytester.makepyfile(test_inner=TEST.format(seed=2))
    refused = pytester.runpytest_inprocess("-p", "kactors.pytest_plugin", "--update-traces")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(["ERROR: --update-traces: refused where the variable CI is set*"])
    assert {path: path.read_text() for path in (pytester.path / "golden").iterdir()} == before


@pytest.mark.parametrize(
    ("value", "refused"), [("true", True), ("1", True), ("", False), ("false", False), ("0", False)]
)
def test_what_counts_as_ci(value, refused):
    assert refused_under_ci({"CI": value}) is refused
    assert not refused_under_ci({})


@pytest.mark.parametrize(
    ("kept", "text", "says"),
    [
        ("a\nb\nc\n", "a\nx\nc\n", ["from line 2 on", "    a", "  - b", "  + x"]),
        ("a\nb\n", "a\n", ["from line 2 on (2 lines there, 1 here)", "  - b", "  + (its end)"]),
        ("a\n", "a\nb\n", ["from line 2 on (1 lines there, 2 here)", "  - (its end)", "  + b"]),
    ],
)
def test_divergence(tmp_path, kept, text, says):
    told = divergence(kept, text, tmp_path / "x.txt")
    assert all(words in told for words in says)


async def test_a_machines_trace_is_that_of_the_command_line(machine, tmp_path):
    scenario = Scenario(workload="same-address", machine="small")
    observer = TextTrace(tmp_path / "trace.txt")
    run(scenario, observers=[observer])
    observer.close()
    m = machine(scenario)
    await m.run()
    assert m.trace() == (tmp_path / "trace.txt").read_text()


def test_names_stay_in_their_folder(tmp_path):
    golden = Golden(tmp_path / "test_x.py", "test_y[../../z]", update=True)
    golden("text", name="../../up")
    assert [path.parent for path in golden.written] == [tmp_path / "golden"]
