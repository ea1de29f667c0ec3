"""The connection is lost before a request or before its answer: what the guarantees of session_plans.py say."""

import trio

from kactors.client import open_client
from protocols.service.commands import InjectFault
from protocols.service.sessions import State
from tests.client.relay import LOSSES
from tests.client.test_trio_client import ENDLESS, SCENARIO
from tests.service.talk import serving


@LOSSES
async def test_one_session_is_made(line, what):
    client, relay = line
    relay.lose(what)
    session = await client.create(SCENARIO)
    assert session.existing == (what == "answer")
    relay.lose(what)
    fork = await session.fork()
    assert [info.session for info in await client.list()] == [session.name, fork.name]
    relay.lose(what)
    await fork.delete()
    assert [info.session for info in await client.list()] == [session.name]
    assert relay.connections == 4


@LOSSES
async def test_a_step_ends_where_it_should(line, what):
    client, relay = line
    session = await client.create(ENDLESS)
    await session.step(events=10)
    relay.lose(what)
    assert (await session.step(events=7)).position.events == 17
    relay.lose(what)
    stepped = await session.run_until(100_000)
    assert (stepped.position.now_ns, stepped.reason) == (100_000, "time")
    other = await client.create(ENDLESS)
    assert (await other.run_until(100_000)).position == stepped.position


async def test_a_long_step_is_taken_up_where_the_loss_left_it(line):
    client, relay = line
    session = await client.create(ENDLESS)
    async with session.subscribe(["state"]) as events, trio.open_nursery() as nursery:
        stepped = []

        async def step():
            stepped.append(await session.step(events=20_000))

        nursery.start_soon(step)
        assert (await anext(events)).data["state"] == "running"
        relay.lose("request")
        nursery.start_soon(client.list)  # which is lost, and the connection with it
    assert stepped[0].position.events == 20_000


@LOSSES
async def test_a_change_is_made_once(line, what):
    client, relay = line
    session = await client.create(SCENARIO)
    await session.step(events=100)
    relay.lose(what)
    assert (await session.inject(InjectFault(cpu=0, address=1 << 20))).sequence == 2
    relay.lose(what)
    assert (await session.step_back(10)).position.events == 90
    relay.lose(what)
    assert (await session.checkpoint("c")).position.events == 90
    relay.lose(what)
    assert (await session.restore("c")).sequence == 4
    relay.lose(what)
    assert (await session.start(events=5)).sequence == 5


@LOSSES
async def test_looking_is_asked_again(line, what):
    client, relay = line
    session = await client.create(SCENARIO)
    relay.lose(what)
    assert (await session.stats()).state is State.PAUSED
    relay.lose(what)
    assert (await session.run()).events > 0


async def test_no_event_is_lost_or_told_twice(line):
    client, relay = line
    session = await client.create(SCENARIO)
    async with session.subscribe(["counters"], interval_ns=10_000, window=20) as events:
        await session.run_until(100_000)
        heard = [(await anext(events)).number for _ in range(3)]
        relay.lose("answer")
        await session.run_until(200_000)
        heard += [(await anext(events)).number for _ in range(8)]
        assert heard == list(range(1, 12))
        assert events.restarts == 0


async def serve_until(folder, end, ended, *, task_status):
    async with serving(folder):
        task_status.started()
        await end.wait()
    ended.set()


async def test_a_subscription_that_the_service_has_forgotten_begins_anew(tmp_path):
    end, ended = trio.Event(), trio.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_until, tmp_path, end, ended)
        async with open_client(f"unix:{tmp_path}/k.sock") as client:
            session = await client.create(SCENARIO)
            async with session.subscribe(["counters"], interval_ns=10_000) as events:
                await session.run_until(50_000)
                assert (await anext(events)).number == 1
                end.set()
                await ended.wait()
                await nursery.start(serve_until, tmp_path, trio.Event(), ended)
                while not events.restarts:
                    await session.look()
                await session.run_until(100_000)
                event = await anext(events)
                while event.at_ns <= 50_000:
                    event = await anext(events)
                assert event.at_ns == 60_000
        nursery.cancel_scope.cancel()
