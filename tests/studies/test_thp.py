"""kactors ask thp: what is searched, what is measured, what is said of it."""

import pytest

from kactors.studies import thp
from kactors.studies.thp import COLLAPSING, NONE, SPARSE
from kactors.studies.thp_text import thp_text
from tests.studies.efforts import small_effort


@pytest.fixture(scope="module")
def told():
    """What was told while it worked, and the answer."""
    words, loads = [], ((SPARSE, "x86-vm-16", 8), (SPARSE, "x86-vm-16", 1))
    effort = small_effort(words.append, events_max=40_000)
    return words, thp.ask(effort, scenes=("collapse-fault",), loads=loads)


def test_the_mark_is_safe_by_all_interleavings_and_none_is_not(told):
    rows = {row.marker: row for row in told[1].searches}
    assert rows[COLLAPSING].safe
    assert rows[COLLAPSING].searched.complete
    assert rows[NONE].searched.found.stop.property == "pmd_populated_under_collapse"
    assert rows[NONE].searched.found.critical is not None


def test_page_tables_by_speculation_gain_where_threads_compete_and_nothing_where_none_does(told):
    busy, alone = told[1].gains
    assert busy.classic_never > 0.9
    assert busy.classic_speculative < 0.2
    assert busy.gain.low > 1.2
    assert alone.classic_speculative < 0.01
    assert alone.gain.low < 1.05


def test_the_answer_says_so_and_tells_the_interleaving_with_its_replay(told):
    text = thp_text(told[1])
    assert "With a PMD that is none while it is collapsed: not safe." in text
    assert "With a mark of its own: safe. Every interleaving was gone through" in text
    assert "VIOLATION of pmd_populated_under_collapse" in text
    assert text.count("kactors replay-schedule 'kactors1:") == 1
    assert "o never" in text
    assert all(line == line.rstrip() for line in text.splitlines())


def test_each_run_and_search_is_told_when_it_ends(told):
    assert len(told[0]) == 2 + 4
    assert thp.runs() == len(thp.searches(1)) + 2 * len(thp.GAINS)


def test_a_search_that_did_not_cover_all_is_not_called_safe(told):
    row = next(row for row in told[1].searches if row.safe)
    cut = row.model_copy(update={"searched": row.searched.model_copy(update={"complete": False})})
    answer = told[1].model_copy(update={"searches": (cut,)})
    assert not cut.safe
    assert "not every interleaving was gone through" in thp_text(answer)
