"""A worker's simulations: what is wrong with an order is its own answer, and nobody stays marked."""

import pytest

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
