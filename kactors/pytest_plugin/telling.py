"""What pytest's report says of a test that failed by what a machine did."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import pytest

import kactors
from kactors.pytest_plugin.driven import DrivenMachine
from kactors.pytest_plugin.failures import Failure, leaves, told_in_a_line

OURS = Path(kactors.__file__).parent


def tell_failure(
    item: pytest.Item,
    report: pytest.TestReport,
    error: pytest.ExceptionInfo[BaseException],
    machines: Sequence[DrivenMachine],
) -> None:
    """Show the test's own line and what was found, and no traceback through kactors.

    Args:
        item: the test.
        report: to change.
        error: what the test raised; where that is one error in a nursery's group, it alone is shown.
        machines: those that the test has made; the last one is told of, unless the failure tells of one.
    """
    raised = list(leaves(error.value))
    if len(raised) == 1 and (raised[0] is not error.value or told_in_a_line(raised[0])):
        found = raised[0]
        shown = _outside(found.__traceback__) if told_in_a_line(found) else found.__traceback__
        if shown is not None:
            report.longrepr = item.repr_failure(pytest.ExceptionInfo.from_exc_info((type(found), found, shown)))
    sections = [section for one in raised if isinstance(one, Failure) for section in one.sections()]
    if machines and not any(title == "kactors machine" for title, _ in sections):
        sections.append(machines[-1].section())
    report.sections += sections


def _outside(raised: TracebackType | None) -> TracebackType | None:
    """Return a traceback without the frames that are in kactors."""
    if raised is None:
        return None
    inner = _outside(raised.tb_next)
    if Path(raised.tb_frame.f_code.co_filename).is_relative_to(OURS):
        return inner
    return TracebackType(inner, raised.tb_frame, raised.tb_lasti, raised.tb_lineno)
