"""A worker's simulations: what is wrong with an order is its own answer, and nobody stays marked."""

import pytest

from kactors.service.worker.live_session import FIRST_SLICE_EVENTS, NEAR_EVENTS
from kactors.service.worker.orders import Run
from kactors.service.worker.room import Room
from protocols.service.errors import ErrorCode, ServiceError
from tests.service.talk import EBIZZY

OPEN = {"log": [], "target": None, "until_events": None, "events_max": 1000, "actors_max": 100, "wall_ns_max": 10**9}


@pytest.fixture
def marks():
    return []


@pytest.fixture
def room(marks):
    room = Room(lambda _name, _params: None, marks.append)
    yield room
    room.close()


async def test_an_order_that_makes_no_sense_is_refused(room):
    with pytest.raises(ServiceError) as refused:
        await room.obey("run", {"session": "s", "untill": 3})
    assert refused.value.code is ErrorCode.INTERNAL


async def test_who_could_not_be_opened_is_not_blamed_for_what_comes_after(room, marks):
    await room.obey("open", {"session": "good", "scenario": EBIZZY, **OPEN})
    with pytest.raises(ServiceError) as refused:
        await room.obey("open", {"session": "bad", "scenario": EBIZZY | {"machine": "none"}, **OPEN})
    assert refused.value.code is ErrorCode.BAD_SCENARIO
    assert marks == ["good", "", "bad", ""]


@pytest.fixture
async def session(room):
    await room.obey("open", {"session": "s", "scenario": EBIZZY, **OPEN | {"events_max": 10**6}})
    return room._sessions["s"]


def a_slice(session, **goal):
    """Let a session compute once; return how many deliveries that made."""
    before = session.machine.stats().events
    session.begin(Run(session="s", **goal))
    session.compute()
    session.end("paused")
    return session.machine.stats().events - before


async def test_many_short_steps_do_not_make_a_slice_long(session):
    """Each ends before its slice does, and says nothing of how long a whole one takes."""
    for step in range(1, 30):
        assert a_slice(session, until_events=step) == 1
    assert a_slice(session) == FIRST_SLICE_EVENTS


async def test_a_run_is_near_its_goal_when_few_deliveries_are_left(session):
    for goal, near in ((NEAR_EVENTS + 1, False), (NEAR_EVENTS, True), (None, False)):
        session.begin(Run(session="s", until_events=goal))
        assert session.is_near_its_goal() == near
        session.end("paused")
    assert not session.is_near_its_goal()
