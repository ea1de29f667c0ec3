"""Searches in the store: what was written is there, and what is not understood is told so and kept."""

import dataclasses
from contextlib import closing

import pytest

from kactors.service.store import DeleteSearch, EndSearch, SearchRecord, StartSearch, Store
from protocols.scenario import Scenario
from protocols.service.errors import ErrorCode
from protocols.service.searches import CheckStartParams, SearchNumbers, SearchState

ASKED = CheckStartParams(scenario=Scenario(workload="munmap-page"), strategy="exhaustive", schedules_max=7, key="k")
BEGUN = SearchRecord(search="s1", client="me", params=ASKED, build="abc", created_at=1.5)
RESULT = {"found": None, "outcomes": [[["a", "1"]]]}


def commit(store, *writes):
    (error,) = store.commit([writes])
    return error


def again(path):
    with closing(Store.open(path)) as store:
        return store.load_searches(), store.search_result("s1")


def test_a_search_is_there_after_its_beginning_and_after_its_end(path):
    ended = dataclasses.replace(
        BEGUN, state=SearchState.ENDED, reason="done", found="deadlock", numbers=SearchNumbers(schedules=3, wall_s=0.5)
    )
    with closing(Store.open(path)) as store:
        assert commit(store, StartSearch(BEGUN)) is None
    assert again(path) == ([BEGUN], None)
    with closing(Store.open(path)) as store:
        assert commit(store, EndSearch(ended, RESULT)) is None
    assert again(path) == ([ended], RESULT)
    with closing(Store.open(path)) as store:
        assert commit(store, DeleteSearch("s1")) is None
    assert again(path) == ([], None)


@pytest.mark.parametrize("other", [{"search": "s2"}, {"client": "you"}])
def test_a_name_and_a_key_belong_to_one_search(store, other):
    commit(store, StartSearch(BEGUN))
    taken = commit(store, StartSearch(dataclasses.replace(BEGUN, **other)))
    assert taken.code is ErrorCode.CONFLICT
    assert store.load_searches() == [BEGUN]


@pytest.mark.parametrize("write", [EndSearch(BEGUN, None), DeleteSearch("s1")])
def test_a_search_that_is_not_there_is_told(store, write):
    assert commit(store, write).code is ErrorCode.UNKNOWN_SEARCH


def test_a_search_that_is_not_understood_has_failed_and_can_be_deleted(path, store):
    commit(store, StartSearch(BEGUN))
    store._db.execute("""UPDATE search SET params = '{"scenario": {"planet": 1}}'""")
    (record,) = store.load_searches()
    assert (record.state, record.error[0]) == (SearchState.FAILED, ErrorCode.REPLAY_DIFFERS)
    assert commit(store, DeleteSearch("s1")) is None
    assert store.load_searches() == []
