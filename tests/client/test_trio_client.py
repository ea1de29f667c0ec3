"""The Trio client against the real service."""

import pytest
import trio

from kactors import run
from kactors.client import ServiceLostError, open_client
from kactors.rpc.address import Address
from protocols.scenario import Scenario
from protocols.service.commands import InjectFault, SetBound, Until
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.sessions import State
from tests.service.talk import serving
from tests.service.test_listen import make_certificate

SCENARIO = Scenario(workload="ebizzy", machine="small", cpus=2, threads=2, until_ns=300_000)
ENDLESS = SCENARIO.model_copy(update={"until_ns": None})
TOKEN = "0123456789abcdef-token"


@pytest.fixture
async def address(tmp_path):
    async with serving(tmp_path) as bound:
        yield bound.addresses[0]


@pytest.fixture
async def client(address):
    async with open_client(address) as opened:
        yield opened


async def test_a_session_from_its_making_to_its_end(client):
    assert client.service.service == "kactors"
    session = await client.create(SCENARIO, seed=1, name="mine")
    assert (session.name, session.existing, session.where.sequence) == ("mine", False, 0)
    assert (await session.step()).position.events == 1
    assert (await session.step(events=9)).position.events == 10
    assert (await session.step(until=Until(quantity="faults", value=1))).reason == "predicate"
    assert (await session.run_until(100_000)).reason == "time"
    assert (await session.checkpoint("c")).position == session.where.position
    assert "cpu0" in (await session.state()).actors
    assert (await session.state("cpu0")).actor == "cpu0"
    assert (await session.step_back(3)).position.events < (await client.list())[0].events + 4
    assert [info.session for info in await client.list(State.PAUSED)] == ["mine"]
    progress = []
    result = await session.run(progress.append)
    assert result.fingerprint == run(SCENARIO).fingerprint
    assert progress[-1].state is State.ENDED
    assert await session.result() == await session.run() == result
    assert (await session.delete()).session == "mine"
    with pytest.raises(ServiceError, match="there is no session mine"):
        await session.stats()


async def test_changes_forks_and_the_way_back(client):
    session = await client.create(SCENARIO)
    await session.step(events=100)
    await session.checkpoint("here")
    await session.inject(InjectFault(cpu=0, address=1 << 20))
    await session.set_bound(SetBound(spf_inflight_max=1))
    fork = await session.fork(policy="classic", name="other")
    assert (await fork.run()).policy == "classic"
    assert (await session.start(events=50)).state is State.RUNNING
    await session.pause()
    assert (await session.restore("here")).position.events == 100
    assert (await session.look()).sequence == session.where.sequence


async def test_the_service_is_asked_about_itself(client):
    assert (await client.server_stats()).connections == 1
    assert "sim.step" in [method.name for method in (await client.api_info()).methods]
    assert (await client.call("sim.list"))["sessions"] == []


async def test_the_same_key_is_the_same_session(client):
    first, again = await client.create(SCENARIO, key="k"), await client.create(SCENARIO, key="k")
    assert (again.name, again.existing) == (first.name, True)


async def test_two_clients_do_not_get_into_each_others_way(address, client):
    async with open_client(address) as other:
        mine = await client.create(SCENARIO)
        theirs = other.session(mine.name)
        await theirs.step(events=5)
        assert (await mine.step(events=5)).position.events == 10
        await theirs.inject(InjectFault(cpu=0, address=4096))
        assert (await mine.set_bound(SetBound(transient_pages_max=None))).sequence == 4
        with pytest.raises(ServiceError) as refused:
            await theirs.step(if_sequence=1)
        assert refused.value.code is ErrorCode.CONFLICT


async def test_many_tasks_share_a_connection(client):
    fingerprints = []

    async def one(seed):
        session = await client.create(SCENARIO, seed=seed)
        fingerprints.append((await session.run()).fingerprint)

    async with trio.open_nursery() as nursery:
        for seed in range(8):
            nursery.start_soon(one, seed)
    assert len(set(fingerprints)) == 8


async def test_who_waits_may_be_cancelled_and_the_late_answer_is_ignored(client):
    session = await client.create(ENDLESS)
    async with session.subscribe(["state"]) as events, trio.open_nursery() as nursery:
        nursery.start_soon(session.run_until)
        assert (await anext(events)).data["state"] == "running"
        nursery.cancel_scope.cancel()
    assert (await session.look()).state is State.RUNNING
    assert (await session.pause()).state is State.PAUSED
    assert (await session.step()).reason == "events"


async def test_events_come_in_order_and_credit_is_given_back(client):
    session = await client.create(ENDLESS)
    async with session.subscribe(["counters"], interval_ns=10_000, window=2) as events:
        await session.start()
        last = await anext(events)
        while last.at_ns < 250_000:
            event = await anext(events)
            assert event.number == last.number + 1 + event.dropped
            last = event
        await session.pause()
    while (await client.server_stats()).subscriptions:
        await session.look()  # it ends in a moment


async def test_what_the_caller_raises_comes_as_it_is(address):
    with pytest.raises(LookupError, match="mine"):
        async with open_client(address):
            raise LookupError("mine")


@pytest.mark.parametrize("connect_s", [0.0, 0.1])
async def test_without_a_service_it_says_so(tmp_path, connect_s):
    waited = " after 0.1 s" if connect_s else ""
    with pytest.raises(ServiceLostError) as lost:
        async with open_client(f"unix:{tmp_path}/none", connect_s=connect_s):
            pass
    assert str(lost.value) == (
        f"the service at unix:{tmp_path}/none does not answer{waited}: No such file or directory;"
        " `kactors serve` starts one"
    )


async def test_a_service_that_ends_is_missed_by_everybody_who_waits(tmp_path):
    lost = []

    async def wait(events):
        try:
            await anext(events)
        except ServiceLostError as error:
            lost.append(str(error))

    async with serving(tmp_path) as bound, open_client(bound.addresses[0], reconnect_s=0.1) as client:
        session = await client.create(SCENARIO)
        async with session.subscribe(["counters"]) as events, trio.open_nursery() as nursery:
            nursery.start_soon(wait, events)
            await client.shutdown("enough")
        # Whether its socket file is gone by then is a matter of time.
        why = "(No such file|Connection refused)"
        with pytest.raises(ServiceLostError, match=rf"has gone and is not back after 0\.1 s: {why}"):
            await session.stats()
    (line,) = lost
    assert line.startswith(f"the service at {bound.addresses[0]} has gone")


async def test_a_request_that_is_too_large_costs_no_connection(tmp_path):
    limits = {"message_bytes_max": 2000}
    async with serving(tmp_path, limits=limits) as bound, open_client(bound.addresses[0]) as client:
        with pytest.raises(ServiceError) as refused:
            await client.create(Scenario(options={"file": "x" * 3000}))
        assert refused.value.code is ErrorCode.TOO_LARGE
        assert (await client.server_stats()).connections == 1


async def test_a_stranger_is_no_service(tmp_path):
    async def serve(stream):
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(
            trio.serve_tcp,
            serve,
            0,
        )
        port = listeners[0].socket.getsockname()[1]
        with pytest.raises(ServiceLostError, match=f"tcp:127.0.0.1:{port}: this is no kactors service"):
            async with open_client(f"tcp:127.0.0.1:{port}"):
                pass
        nursery.cancel_scope.cancel()


@pytest.fixture
async def secure(tmp_path):
    certificate, key = make_certificate(tmp_path)
    tokens = tmp_path / "tokens"
    tokens.write_text(f"me {TOKEN}\n")
    tokens.chmod(0o600)
    places = (Address("tls", "", "127.0.0.1", 0),)
    async with serving(tmp_path, addresses=places, certificate=certificate, key=key, token_file=tokens) as bound:
        yield bound.addresses[0], certificate


async def test_tls_and_a_token(secure):
    address, certificate = secure
    async with open_client(address, token=TOKEN, client="probe", tls=certificate) as client:
        assert client.service.client == "me/probe"
        assert await client.list() == ()
    with pytest.raises(ServiceError) as refused:
        async with open_client(address, token="wrong", tls=certificate):
            pass
    assert refused.value.code is ErrorCode.BAD_TOKEN
    with pytest.raises(ServiceLostError, match="certificate verify failed"):
        async with open_client(address, token=TOKEN):
            pass
