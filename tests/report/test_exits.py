"""Exit codes, and one line for everything that goes wrong."""

import errno

import pytest

from kactors.engine.errors import ActorCrash, ModelError, UsageError
from kactors.report.exits import exit_codes
from protocols.service.errors import ErrorCode, ServiceError


def ending(error, **options):
    with pytest.raises(SystemExit) as ended, exit_codes(**options):
        raise error
    return ended.value.code


def crash(cause):
    error = ActorCrash("cpu0", "Resume()", 17, ("first", "second"))
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UsageError("--cpus 0: should be 1\nor more"), 2, "kactors: --cpus 0: should be 1 or more"),
        (FileNotFoundError(errno.ENOENT, "No such file", "a.toml"), 2, "kactors: a.toml: No such file"),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "kactors: No space left on device"),
        (GeneratorExit("g"), 3, "kactors: internal error: GeneratorExit: g"),
        (ServiceError(ErrorCode.ACTOR_CRASHED, "cpu0 crashed"), 3, "kactors: the service says: cpu0 crashed"),
        (ServiceError(ErrorCode.ACTOR_CRASHED, "a.py:3", {"blamed": "a.py:3"}), 2, "kactors: the service says: a.py:3"),
        (KeyboardInterrupt(), 130, "kactors: interrupted"),
        (SystemExit(5), 2, "kactors: a policy's code called sys.exit(5)"),
        (ModelError("mm may not say X"), 3, "kactors: internal error: ModelError: mm may not say X"),
        (crash(KeyError("x")), 3, "kactors: internal error: cpu0 crashed on Resume() at 17 ns: KeyError: 'x'"),
    ],
)
def test_an_error_ends_in_one_line_and_its_code(capsys, error, code, line):
    assert ending(error) == code
    assert capsys.readouterr().err == line + "\n"


def test_an_internal_error_hints_at_the_traceback_and_usage_does_not(capsys):
    assert ending(ValueError("v"), hint="; do this") == 3
    assert ending(UsageError("u"), hint="; do this") == 2
    assert capsys.readouterr().err == "kactors: internal error: ValueError: v; do this\nkactors: u\n"


def test_the_traceback_comes_when_asked_for(capsys):
    assert ending(crash(KeyError("x")), show_traceback=True) == 3
    text = capsys.readouterr().err
    assert "Traceback (most recent call last)" in text
    assert "KeyError: 'x'" in text
    assert "second" in text


def test_the_callers_own_exceptions_pass():
    with pytest.raises(LookupError), exit_codes(passing=(LookupError,)):
        raise KeyError("x")


def test_nothing_happens_to_what_goes_well(capsys):
    with exit_codes():
        pass
    assert capsys.readouterr().err == ""


def test_the_code_is_the_same_where_the_caller_has_closed_both_streams(monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    monkeypatch.setattr("sys.stderr", None)
    with exit_codes():
        pass
    assert ending(UsageError("u")) == 2
    assert ending(KeyboardInterrupt()) == 130
