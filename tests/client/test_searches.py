"""Searches through both clients, and over a connection that is lost."""

import pytest
import trio

from kactors.client import connect
from kactors.client.embedded import embedded_service
from protocols.scenario import Scenario
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.searches import CheckStartParams, SearchState
from tests.client.relay import LOSSES
from tests.service.test_searches import CLEAN, DEADLOCK, here

SHORT = CheckStartParams(scenario=Scenario(**CLEAN), strategy="random", schedules_max=50)
ENDLESS = CheckStartParams(scenario=Scenario(**CLEAN), strategy="random")


def test_a_search_through_the_blocking_client(tmp_path):
    with embedded_service(tmp_path) as service, connect(service.address) as client:
        search = client.check(CheckStartParams(scenario=Scenario(**DEADLOCK)))
        with search.subscribe() as events:
            while next(events).data["state"] == "running":
                pass
        assert search.wait().found == "deadlock"
        assert search.result().model_dump(mode="json") == here(DEADLOCK)
        endless = client.check(ENDLESS)
        shown = []
        stats = endless.wait(shown.append, lambda: len(shown) > 2)
        assert stats.reason == "cancelled"
        assert [each.check for each in client.list_checks()] == [search.name, endless.name]
        assert [each.check for each in client.list_checks(SearchState.RUNNING)] == []
        client.search(search.name).delete()
        assert [each.check for each in client.list_checks()] == [endless.name]


@LOSSES
async def test_one_search_is_begun_and_one_deleted(line, what):
    client, relay = line
    relay.lose(what)
    search = await client.check(SHORT)
    assert search.existing == (what == "answer")
    relay.lose(what)
    await search.wait()
    relay.lose(what)
    assert (await search.result()).schedules == 50
    relay.lose(what)
    await search.delete()
    assert await client.list_checks() == ()
    assert relay.connections == 5


@LOSSES
async def test_a_cancelled_search_is_cancelled_once(line, what):
    client, relay = line
    search = await client.check(ENDLESS)
    relay.lose(what)
    assert (await search.cancel()).reason == "cancelled"


async def test_progress_goes_on_after_a_reconnect(line):
    client, relay = line
    search = await client.check(ENDLESS)
    async with search.subscribe() as events, trio.open_nursery() as nursery:
        await events.__anext__()
        relay.lose("answer")
        nursery.start_soon(search.stats)
        while not events.restarts:
            await events.__anext__()
        nursery.start_soon(search.cancel)
        while (await events.__anext__()).data["state"] == "running":
            pass


async def test_a_deleted_search_is_not_deleted_again(line):
    client, _ = line
    search = await client.check(SHORT)
    await search.delete()
    with pytest.raises(ServiceError) as unknown:
        await search.delete()
    assert unknown.value.code is ErrorCode.UNKNOWN_SEARCH
