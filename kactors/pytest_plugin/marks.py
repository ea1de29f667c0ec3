"""What the marks ``explore`` and ``seeds`` say, and one line for what is wrong with one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kactors.engine.errors import UsageError

if TYPE_CHECKING:
    import pytest

    from kactors.pytest_plugin.exploring import Plan

SEEDS_MAX = 1_000_000


def seeds(mark: pytest.Mark, fixtures: Sequence[str]) -> range:
    """Return the seeds of ``@pytest.mark.seeds(n)`` or ``seeds(n, first=100)``.

    Raises:
        UsageError: naming what is wrong.
    """
    unknown = set(mark.kwargs) - {"n", "first"}
    given = [*mark.args, *([mark.kwargs["n"]] if "n" in mark.kwargs else [])]
    first = mark.kwargs.get("first", 0)
    numbers = [*given, first]
    if unknown or len(given) != 1 or not all(type(number) is int for number in numbers):
        raise UsageError(f"seeds{_shown(mark)}: write seeds(n) or seeds(n, first=100), whole numbers")
    if not (1 <= given[0] <= SEEDS_MAX and first >= 0):
        raise UsageError(f"seeds{_shown(mark)}: from 1 to {SEEDS_MAX} seeds, the first from 0 on")
    if "seed" not in fixtures:
        raise UsageError(f"seeds{_shown(mark)}: the test has to take the fixture seed, as an argument of its own")
    return range(first, first + given[0])


def check_explore(mark: pytest.Mark, fixtures: Sequence[str]) -> None:
    """Complain of an ``explore`` mark that cannot work, before any test runs.

    Raises:
        UsageError: naming what is wrong.
    """
    from kactors.pytest_plugin.scenes import describe

    _, fields = plan_of(mark, 1)
    if "explored" not in fixtures:
        raise UsageError(f"explore{_shown(mark)}: the test has to take the fixture explored")
    described = describe(**fields)
    if "policy" in fields and described.policy is None:
        from kactors.policies import load_policy

        load_policy(fields["policy"])


def plan_of(mark: pytest.Mark | None, seed: int) -> tuple[Plan, Mapping[str, Any]]:
    """Return how a test is explored, and the fields of scenarios that its mark gives.

    Args:
        mark: the test's, None where it has none.
        seed: what a mark without a seed means.

    Raises:
        UsageError: naming what is wrong.
    """
    from kactors.checker.search import STRATEGIES
    from kactors.pytest_plugin.exploring import Plan

    if mark is None:
        return Plan(seed=seed), {}
    if mark.args:
        raise UsageError(f"explore{_shown(mark)}: its arguments have names, as in explore(strategy='exhaustive')")
    given = dict(mark.kwargs)
    own = {name: given.pop(name) for name in ("strategy", "max_schedules", "max_steps", "seed") if name in given}
    options: dict[str, Any] = {"seed": seed} | own
    plan = Plan(**options)
    if plan.strategy not in STRATEGIES:
        raise UsageError(f"explore: there is no strategy {plan.strategy}; there are {', '.join(STRATEGIES)}")
    for name in ("max_schedules", "max_steps", "seed"):
        value = getattr(plan, name)
        if type(value) is not int or value < (name != "seed"):
            raise UsageError(f"explore: {name} = {value!r} is no whole number from {int(name != 'seed')} on")
    return plan, given


def _shown(mark: pytest.Mark) -> str:
    parts = [*(repr(value) for value in mark.args), *(f"{name}={value!r}" for name, value in mark.kwargs.items())]
    return f"({', '.join(parts)})"
