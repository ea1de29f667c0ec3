"""pytest plugin: machines driven from async tests, scenarios over their interleavings, seeds, stories, golden traces.

Found by pytest wherever kactors is installed; docs/pytest-plugin.md has examples. pytest loads this file in every
project and before coverage is measured, so it imports the rest of kactors when a test uses it, and not before.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Generator, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from kactors.pytest_plugin.driven import DrivenMachine
    from kactors.pytest_plugin.exploring import Explored, Explorer, outcome
    from kactors.pytest_plugin.failures import Failure, FindingFailure, SearchFailure
    from kactors.pytest_plugin.golden_traces import Golden
    from kactors.pytest_plugin.page_program import Call, PageProgram
    from kactors.pytest_plugin.stories import assert_story

__all__ = [
    "Call",
    "DrivenMachine",
    "Explored",
    "Failure",
    "FindingFailure",
    "PageProgram",
    "SearchFailure",
    "assert_story",
    "outcome",
]

_HOMES = {
    "Call": "page_program",
    "DrivenMachine": "driven",
    "Explored": "exploring",
    "Failure": "failures",
    "FindingFailure": "failures",
    "PageProgram": "page_program",
    "SearchFailure": "failures",
    "assert_story": "stories",
    "outcome": "exploring",
}

_EXPLORE = (
    "explore(strategy='portfolio', max_schedules=20000, max_steps=10000, seed=1, **scenario): how the fixture explored "
    "searches in this test; further arguments are fields of its scenarios"
)
MARKS = (
    _EXPLORE,
    "seeds(n, first=0): run the test for each of n seeds (fixture seed)",
)
TRACES_WRITTEN = "kactors.golden"
SEED = 1


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


class _OfTest:
    """What one test has made with our fixtures."""

    def __init__(self) -> None:
        self.machines: list[DrivenMachine] = []
        self.explorer: Explorer | None = None
        self.golden: Golden | None = None


_TEST = pytest.StashKey[pytest.Item]()
_MADE = pytest.StashKey[_OfTest]()

# --- options and marks -----------------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our options."""
    group = parser.getgroup("kactors")
    group.addoption("--update-traces", action="store_true", help="Write golden traces instead of comparing with them.")
    group.addoption("--replay-schedule", metavar="SCHEDULE", help="Run this schedule in the tests that are explored.")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks; refuse to rewrite in CI what CI is to check."""
    for mark in MARKS:
        config.addinivalue_line("markers", mark)
    if config.getoption("--update-traces"):
        from kactors.pytest_plugin.golden_traces import refused_under_ci

        if refused_under_ci(os.environ):
            raise pytest.UsageError(
                "--update-traces: refused where the variable CI is set: golden traces are kept there"
            )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Check the marks of a test; make it once for each of its seeds."""
    explore = metafunc.definition.get_closest_marker("explore")
    seeds = metafunc.definition.get_closest_marker("seeds")
    if explore is None and seeds is None:
        return
    from kactors.engine.errors import UsageError
    from kactors.pytest_plugin import marks

    try:
        if explore is not None:
            marks.check_explore(explore, metafunc.fixturenames)
        if seeds is not None:
            metafunc.parametrize("seed", marks.seeds(seeds, metafunc.fixturenames), ids=lambda seed: f"seed={seed}")
    except UsageError as error:
        pytest.fail(f"{metafunc.definition.nodeid}: {error}", pytrace=False)


# --- fixtures --------------------------------------------------------------------------------------------------------


@pytest.fixture
def seed() -> int:
    """The seed of the test: 1, or by ``@pytest.mark.seeds(n)`` each of n."""
    return SEED


# The next three belong to the session and look up the test that is running: Hypothesis refuses fixtures of a function,
# because they are not made anew for each of its examples, which is not needed here.


@pytest.fixture(scope="session")
def machine(pytestconfig: pytest.Config) -> Any:
    """Give machines to drive, closed after the test, by what ``kactors.pytest_plugin.scenes.describe`` takes.

    ``m = machine(policy="spf-v9", program=[fault, unmap])``. ``properties=False``: let none of kactors' own watch;
    ``observers=[...]``: let others watch.
    """
    return _Current(pytestconfig, "machine", lambda item: partial(_make_machine, item))


@pytest.fixture(scope="session")
def explored(pytestconfig: pytest.Config) -> Any:
    """Search a scenario's interleavings, as the test's ``explore`` mark says; see ``Explorer``."""
    return _Current(pytestconfig, "explored", _explorer)


@pytest.fixture(scope="session")
def golden(pytestconfig: pytest.Config) -> Any:
    """Compare a trace with the file that is kept of it: ``golden(m)``; see ``Golden``."""
    return _Current(pytestconfig, "golden", _golden)


class _Current:
    """Stands for what the test that is running uses."""

    def __init__(self, config: pytest.Config, name: str, find: Callable[[pytest.Item], Any]) -> None:
        self._config = config
        self._name = name
        self._find = find

    def __repr__(self) -> str:
        return f"<kactors' fixture {self._name}>"

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._find(self._config.stash[_TEST])(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._find(self._config.stash[_TEST]), name)


def _make_machine(
    item: pytest.Item, *given: Any, properties: bool = True, observers: Any = (), **described: Any
) -> DrivenMachine:
    from kactors.pytest_plugin.driven import DrivenMachine
    from kactors.pytest_plugin.scenes import describe

    fields = described if given else {"seed": _seed_of(item)} | described
    made = DrivenMachine(describe(*given, **fields), properties=properties, observers=observers)
    item.stash[_MADE].machines.append(made)
    return made


def _seed_of(item: pytest.Item) -> int:
    callspec = getattr(item, "callspec", None)
    given = callspec.params.get("seed", SEED) if callspec is not None else SEED
    return given if type(given) is int else SEED


def _explorer(item: pytest.Item) -> Explorer:
    made = item.stash[_MADE]
    if made.explorer is None:
        from kactors.pytest_plugin.exploring import Explorer
        from kactors.pytest_plugin.marks import plan_of

        plan, fields = plan_of(item.get_closest_marker("explore"), _seed_of(item))
        command = f"pytest {shlex.quote(item.nodeid)}"
        replay = item.config.getoption("--replay-schedule")
        drawn = getattr(item.obj, "is_hypothesis_test", False) if isinstance(item, pytest.Function) else False
        made.explorer = Explorer(plan, fields, replay=replay, command=command, drawn=drawn)
    return made.explorer


def _golden(item: pytest.Item) -> Golden:
    made = item.stash[_MADE]
    if made.golden is None:
        from kactors.pytest_plugin.golden_traces import Golden

        made.golden = Golden(item.path, item.name, update=item.config.getoption("--update-traces"))
    return made.golden


# --- around a test ---------------------------------------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let the fixtures know whose they are."""
    item.config.stash[_TEST] = item
    item.stash[_MADE] = _OfTest()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Complain of a schedule that is of none of the test's scenarios."""
    yield
    explorer, schedule = item.stash[_MADE].explorer, item.config.getoption("--replay-schedule")
    if schedule is not None and explorer is not None and not explorer.replayed:
        from kactors.pytest_plugin.failures import Failure

        raise Failure("--replay-schedule: it is of no scenario, policy or version that this test explores")


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Close the machines that the test has made, after its own fixtures."""
    try:
        return (yield)
    finally:
        for made in item.stash[_MADE].machines:
            made.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell what a machine did in sections of their own; note what was searched and written."""
    report = yield
    made = item.stash.get(_MADE, None)
    if made is None or call.when != "call":
        return report
    if call.excinfo is not None and report.failed:
        from kactors.pytest_plugin.telling import tell_failure

        tell_failure(item, report, call.excinfo, made.machines)
    if made.golden is not None:
        report.user_properties += [(TRACES_WRITTEN, str(path)) for path in made.golden.written]
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Name the golden traces that were written."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    told = [entry for report in reports for entry in getattr(report, "user_properties", ())]
    written = sorted({str(value) for name, value in told if name == TRACES_WRITTEN})
    if written:
        terminalreporter.section("golden traces written")
        for path in written:
            terminalreporter.line(os.path.relpath(path, Path.cwd()))
