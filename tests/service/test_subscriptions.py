"""Streams: numbered, credited, dropped and told, taken over after a reconnect."""

import os
import signal

import pytest
import trio

from kactors.service.registry import Registry
from protocols.service.errors import ErrorCode, ServiceError
from tests.service.talk import EBIZZY, ENDLESS, serving, talking


@pytest.fixture
async def service(tmp_path):
    async with serving(tmp_path):
        yield tmp_path / "k.sock"


@pytest.fixture
async def talk(service):
    async with talking(service) as talk:
        yield talk


async def create(talk, scenario=EBIZZY):
    return (await talk.ask("sim.create", scenario=scenario))["session"]


def events(talk, subscription):
    return [payload for name, payload in talk.told if name == "sim.event" and payload["subscription"] == subscription]


def ended(name, payload):
    return name == "sim.event" and payload["topic"] == "state" and payload["data"]["state"] == "ended"


async def test_every_topic_is_told_and_agrees_with_the_result(talk):
    session = await create(talk)
    topics = ["state", "counters", "ipi_waits", "transient_pages", "stories"]
    subscribed = await talk.ask("sim.subscribe", session=session, topics=topics, credit=1_000_000, interval_ns=100_000)
    await talk.ask("sim.run_until", session=session)
    await talk.hear(ended)
    told = events(talk, subscribed["subscription"])
    assert [event["number"] for event in told] == list(range(1, len(told) + 1))
    by_topic = {topic: [event for event in told if event["topic"] == topic] for topic in topics}
    result = (await talk.ask("sim.result", session=session))["result"]
    assert len(by_topic["stories"]) == result["events"]
    assert len(by_topic["ipi_waits"]) == result["ipi"]["all"]["count"]
    assert max(event["data"]["wait_ns"] for event in by_topic["ipi_waits"]) == result["ipi"]["all"]["max_ns"]
    assert max(event["data"]["now"] for event in by_topic["transient_pages"]) == result["transient"]["peak_mm"]
    assert [event["at_ns"] for event in by_topic["counters"]] == list(range(100_000, 2_000_000, 100_000))
    assert [event["data"]["state"] for event in by_topic["state"]] == ["running", "ended"]


async def test_without_credit_nothing_comes_and_what_was_dropped_is_told(talk):
    session = await create(talk)
    number = (await talk.ask("sim.subscribe", session=session, topics=["stories"], credit=10))["subscription"]
    await talk.ask("sim.step", session=session, events=100)
    granted = await talk.ask("sim.credit", subscription=number, events=5)
    assert granted == {"subscription": number, "credit": 5, "dropped": 90}
    await talk.ask("sim.step", session=session, events=100)
    left = await talk.ask("sim.unsubscribe", subscription=number)
    assert left["dropped"] == 90 + 95
    told = events(talk, number)
    assert [(event["number"], event["of"], event["dropped"]) for event in told] == [
        *((of, of, 0) for of in range(1, 11)),
        (101, 101, 90),
        *((of, of, 0) for of in range(102, 106)),
    ]


async def test_a_filter_lets_through_what_it_names(talk):
    session = await create(talk)
    all_ = (await talk.ask("sim.subscribe", session=session, topics=["ipi_waits"], credit=10_000))["subscription"]
    some = await talk.ask(
        "sim.subscribe", session=session, topics=["ipi_waits"], credit=10_000, filter={"wait_min_ns": 3_000}
    )
    await talk.ask("sim.run_until", session=session)
    # The answer to a later request comes after every event before it.
    await talk.ask("sim.unsubscribe", subscription=all_)
    waits = [event["data"]["wait_ns"] for event in events(talk, all_)]
    long = [event["data"]["wait_ns"] for event in events(talk, some["subscription"])]
    assert long == [wait for wait in waits if wait >= 3_000]
    assert 0 < len(long) < len(waits)


async def test_each_subscriber_has_the_counters_as_far_apart_as_it_wants(talk):
    session = await create(talk)
    numbers = {}
    for interval_ns in (300_000, 500_000):
        params = {"topics": ["counters"], "interval_ns": interval_ns}
        numbers[interval_ns] = (await talk.ask("sim.subscribe", session=session, **params))["subscription"]
    await talk.ask("sim.run_until", session=session)
    await talk.ask("sim.unsubscribe", subscription=numbers[300_000])
    for interval_ns, number in numbers.items():
        told = [(event["of"], event["at_ns"]) for event in events(talk, number)]
        assert told == [(of, of * interval_ns) for of in range(1, -(-2_000_000 // interval_ns))]


async def test_a_subscriber_changes_nothing(talk):
    quiet, watched = await create(talk), await create(talk)
    await talk.ask("sim.subscribe", session=watched, topics=["counters", "stories"], credit=50, interval_ns=1_000)
    end = await talk.ask("sim.run_until", session=quiet)
    assert (await talk.ask("sim.run_until", session=watched))["position"] == end["position"]


async def test_attach_sends_again_what_did_not_arrive(service, talk):
    session = await create(talk)
    async with talking(service) as other:
        number = (await other.ask("sim.subscribe", session=session, topics=["stories"], credit=500))["subscription"]
        await other.ask("sim.step", session=session, events=20)
    await talk.ask("sim.step", session=session, events=30)
    attached = await talk.ask("sim.attach", session=session, subscription=number, after=12)
    assert (attached["number"], attached["missed"], attached["position"]["events"]) == (50, 0, 50)
    assert [event["number"] for event in events(talk, number)] == list(range(13, 51))
    await talk.ask("sim.step", session=session, events=1)
    assert events(talk, number)[-1]["number"] == 51


async def test_only_so_many_events_are_kept_and_attach_tells_how_many_are_missing(service, talk):
    session = await create(talk)
    async with talking(service) as other:
        number = (await other.ask("sim.subscribe", session=session, topics=["stories"], credit=9999))["subscription"]
    await talk.ask("sim.step", session=session, events=2000)
    attached = await talk.ask("sim.attach", session=session, subscription=number, after=100)
    kept = [event["number"] for event in events(talk, number)]
    assert kept == list(range(2000 - 1023, 2001))
    assert attached["missed"] == kept[0] - 101


async def test_a_subscription_belongs_to_one_connection(service, talk):
    session = await create(talk)
    number = (await talk.ask("sim.subscribe", session=session, topics=["state"]))["subscription"]
    async with talking(service) as other:
        for method, more in (("sim.credit", {"events": 1}), ("sim.unsubscribe", {})):
            with pytest.raises(ServiceError) as refused:
                await other.ask(method, subscription=number, **more)
            assert refused.value.code is ErrorCode.UNKNOWN_SUBSCRIPTION


async def test_subscriptions_outlive_a_step_back_with_their_numbers(talk):
    session = await create(talk)
    number = (await talk.ask("sim.subscribe", session=session, topics=["stories"], credit=10_000))["subscription"]
    await talk.ask("sim.step", session=session, events=40)
    await talk.ask("sim.step_back", session=session, events=10)
    await talk.ask("sim.step", session=session, events=10)
    await talk.ask("sim.unsubscribe", subscription=number)
    told = events(talk, number)
    assert [event["number"] for event in told] == list(range(1, 51))
    again = [event["data"] for event in told if event["of"] > 30]
    assert again[:10] == again[10:], "the same past has the same future"


async def test_limits_of_subscriptions(tmp_path):
    limits = {"subscriptions_per_client_max": 2, "credit_max": 100}
    async with serving(tmp_path, limits=limits), talking(tmp_path / "k.sock") as talk:
        session = await create(talk, ENDLESS)
        with pytest.raises(ServiceError) as credit:
            await talk.ask("sim.subscribe", session=session, topics=["state"], credit=101)
        assert credit.value.data == {"limit": "credit_max", "value": 100}
        for _ in range(2):
            await talk.ask("sim.subscribe", session=session, topics=["state"])
        with pytest.raises(ServiceError) as many:
            await talk.ask("sim.subscribe", session=session, topics=["state"])
        assert many.value.data == {"limit": "subscriptions_per_client_max", "value": 2}


async def test_a_deleted_session_says_goodbye_to_every_subscriber(talk):
    session = await create(talk)
    await talk.ask("sim.subscribe", session=session, topics=["ipi_waits"])
    await talk.ask("sim.delete", session=session)
    goodbye = await talk.hear(lambda name, event: name == "sim.event" and event["topic"] == "state")
    assert (goodbye["data"], goodbye["number"]) == ({"state": "deleted"}, 1)


async def test_a_takeover_with_too_much_credit_takes_nothing_over(tmp_path):
    async with serving(tmp_path, limits={"credit_max": 100}), talking(tmp_path / "k.sock") as other:
        session = await create(other)
        async with talking(tmp_path / "k.sock") as talk:
            subscribed = await talk.ask("sim.subscribe", session=session, topics=["stories"], credit=50)
        number = subscribed["subscription"]
        while (await other.ask("server.stats"))["connections"] > 1:
            await trio.lowlevel.checkpoint()
        with pytest.raises(ServiceError) as refused:
            await other.ask("sim.attach", session=session, subscription=number, credit=51)
        assert refused.value.data == {"limit": "credit_max", "value": 100}
        with pytest.raises(ServiceError) as refused:
            await other.ask("sim.credit", subscription=number, events=1)
        assert refused.value.code is ErrorCode.UNKNOWN_SUBSCRIPTION
        await other.ask("sim.attach", session=session, subscription=number, credit=50)
        assert (await other.ask("sim.unsubscribe", subscription=number))["credit"] == 100


async def test_who_goes_while_he_subscribes_leaves_nobody_listening(service, monkeypatch):
    told, tell = [], Registry.told

    def hear(registry, name, params):
        told.append(name)
        tell(registry, name, params)

    monkeypatch.setattr(Registry, "told", hear)
    async with talking(service) as other:
        session = await create(other)
        (worker,) = (await other.ask("server.stats"))["workers"]
        os.kill(worker["pid"], signal.SIGSTOP)
        async with talking(service) as talk:
            await talk.begin("sim.subscribe", session=session, topics=["stories"], credit=1000)
            while (await other.ask("server.stats"))["subscriptions"] == 0:
                await trio.lowlevel.checkpoint()
        while (await other.ask("server.stats"))["subscriptions"] == 1:
            await trio.lowlevel.checkpoint()
        os.kill(worker["pid"], signal.SIGCONT)
        assert (await other.ask("sim.step", session=session, events=100))["position"]["events"] == 100
        assert "happenings" not in told
