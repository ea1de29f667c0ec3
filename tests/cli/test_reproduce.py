"""kactors reproduce: what it refuses. The tables: tests/studies/test_reproduction.py."""

import pytest


def test_it_says_what_it_measures(kactors):
    done = kactors("reproduce", "--help")
    assert done.exit_code == 0
    assert "--precision" in done.stdout


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("reproduce",), "Missing argument 'SERIES'. Choose from: spf-v9"),
        (("reproduce", "spf-v12"), "'spf-v12' is not 'spf-v9'"),
        (("reproduce", "spf-v9", "--precision", "200%"), "write a share above 0"),
        (("reproduce", "spf-v9", "--connect", "unix:/nowhere"), "a service has no method for this"),
    ],
)
def test_what_cannot_be_reproduced_is_refused_in_one_line(refused, words, line):
    assert line in refused(*words)
