"""Streams that the caller has closed, or that take nothing more."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("words", "redirection", "code", "error"),
    [
        ("messages", ">&-", 0, ""),
        ("run same-address --machine small", "2>&-", 0, ""),
        ("run ebizy", "<&- >&- 2>&-", 2, ""),
        ("--version", ">/dev/full", 2, "kactors: No space left on device\n"),
        ("list", ">/dev/full", 2, "kactors: No space left on device\n"),
    ],
)
def test_the_exit_code_is_what_it_would_be_and_nothing_is_traced_back(words, redirection, code, error):
    shell = ["sh", "-c", f'"$0" -m kactors {words} {redirection}', sys.executable]
    done = subprocess.run(shell, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, error)
