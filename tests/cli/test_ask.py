"""kactors ask: its options, its JSON, what it refuses. The answers themselves: tests/studies."""

import json

import pytest

from kactors.studies import thp
from kactors.studies.thp import Thp


def test_it_names_its_questions(kactors):
    done = kactors("ask", "--help")
    assert done.exit_code == 0
    assert all(question in done.stdout for question in ("overallocation", "thp"))


@pytest.fixture
def one_scene(monkeypatch):
    """Of the question about huge pages only what takes a second."""
    monkeypatch.setattr(thp, "SCENES", ("collapse-fault",))
    monkeypatch.setattr(thp, "GAINS", ((thp.MALLOC, "small", 2),))


@pytest.mark.usefixtures("one_scene")
def test_as_json_the_answer_can_be_read_back(kactors):
    done = kactors("ask", "thp", "--json", "--precision", "30%", "--seed", "7", "-j", "1")
    assert done.exit_code == 0
    answer = Thp.model_validate(json.loads(done.stdout))
    assert answer.seed == 7
    assert len(answer.searches) == 2


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("ask",), "name a question: kactors ask overallocation or scaling or thp"),
        (("ask", "everything"), "there is no question everything; there are overallocation, scaling, thp"),
        (("ask", "thp", "--precision", "0"), "write a share above 0 and below 100 %, like 2% or 0.02"),
        (("ask", "thp", "--precision", "soon"), "'soon': write a share"),
        (("ask", "thp", "--seed", "x"), "'x' is not a valid integer"),
        (("ask", "thp", "-j", "0"), "0 is not in the range"),
        (("ask", "overallocation", "--connect", "unix:/nowhere"), "a service has no method for this"),
        (("ask", "thp", "--token-file", "x"), "add --connect ADDRESS"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(refused, words, line):
    assert line in refused(*words)
