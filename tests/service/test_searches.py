"""Searches in the service: the same as here, listed, cancelled, kept, and in nobody's way."""

import statistics

import pytest
import trio

from kactors.checker.job import Job, Searching, Watch, told
from kactors.checker.slices import finish
from protocols.scenario import Scenario
from protocols.service.errors import ErrorCode, ServiceError
from tests.service.talk import EBIZZY, ENDLESS, serving, talking
from tests.service.test_http import ANYWHERE, ask
from tests.service.test_latency import GENEROUS, PAUSES, TARGET_S, took_s

CLEAN = {"workload": "munmap-page", "machine": "small"}
DEADLOCK = {"workload": "mail-deadlock", "machine": "small", "policy": "broken-blocking-spin"}
HUGE = {"workload": "mail", "machine": "small"}
SHORT = {"strategy": "random", "schedules_max": 10}


async def start(talk, scenario=CLEAN, **params):
    return (await talk.ask("check.start", scenario=scenario, **params))["check"]


async def ended(talk, check):
    while (stats := await talk.ask("check.stats", check=check))["state"] == "running":
        await trio.lowlevel.checkpoint()
    return stats


async def progressed(talk, check):
    while not (await talk.ask("check.stats", check=check))["numbers"]["steps"]:
        await trio.lowlevel.checkpoint()


def here(scenario, **changes):
    job = Job(Scenario(**scenario), **changes)
    return finish(told(job, finish(Searching(job, Watch()).slices()), shrunk=True)).model_dump(mode="json")


@pytest.mark.parametrize(
    ("scenario", "how"),
    [
        (CLEAN, {}),
        (CLEAN, {"strategy": "dpor", "keep_going": True}),
        (DEADLOCK, {"strategy": "exhaustive"}),
        (DEADLOCK, {"seed": 7}),
        (CLEAN, {"strategy": "pct", "schedules_max": 3000, "steps_max": 500}),
    ],
)
async def test_it_is_the_same_search(talk, scenario, how):
    check = await start(talk, scenario, **how)
    stats = await ended(talk, check)
    outcome = await talk.ask("check.result", check=check)
    same = here(scenario, **how)
    assert outcome["searched"] == same
    assert (outcome["reason"], stats["reason"]) == ("done", "done")
    assert stats["found"] == (same["found"] and same["found"]["stop"]["kind"])
    assert (stats["numbers"]["schedules"], stats["numbers"]["steps"]) == (same["schedules"], same["steps"])


async def test_a_key_makes_one_search_and_the_params_belong_to_it(talk):
    first = await talk.ask("check.start", scenario=CLEAN, key="k")
    again = await talk.ask("check.start", scenario=CLEAN, key="k")
    assert (first["existing"], again["existing"], again["check"]) == (False, True, first["check"])
    with pytest.raises(ServiceError) as refused:
        await talk.ask("check.start", scenario=DEADLOCK, key="k")
    assert refused.value.code is ErrorCode.CONFLICT
    assert len((await talk.ask("check.list"))["checks"]) == 1


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"scenario": CLEAN | {"workload": "none"}}, ErrorCode.BAD_SCENARIO),
        ({"scenario": CLEAN | {"cpus": 1}}, ErrorCode.BAD_SCENARIO),
        ({"scenario": CLEAN, "properties": ["none.py:Mine"]}, ErrorCode.BAD_SCENARIO),
        ({"scenario": CLEAN, "strategy": "none"}, ErrorCode.INVALID_PARAMS),
        ({"scenario": CLEAN, "steps_max": 10_001}, ErrorCode.INVALID_PARAMS),
        ({"scenario": CLEAN, "name": "mine"}, ErrorCode.CONFLICT),
    ],
)
async def test_what_cannot_be_searched_is_refused_and_leaves_nothing(talk, params, code):
    await talk.ask("sim.create", scenario=EBIZZY, name="mine")
    with pytest.raises(ServiceError) as refused:
        await talk.ask("check.start", **params)
    assert refused.value.code is code, refused.value
    assert (await talk.ask("check.list"))["checks"] == []


async def test_a_cancelled_search_tells_what_it_covered(talk):
    check = await start(talk, HUGE, strategy="exhaustive")
    await progressed(talk, check)
    with pytest.raises(ServiceError) as early:
        await talk.ask("check.result", check=check)
    assert early.value.code is ErrorCode.WRONG_STATE
    stats = await talk.ask("check.cancel", check=check)
    assert (stats["state"], stats["reason"]) == ("ended", "cancelled")
    searched = (await talk.ask("check.result", check=check))["searched"]
    assert not searched["complete"]
    assert searched["steps"] == stats["numbers"]["steps"] > 0
    assert await talk.ask("check.cancel", check=check) == stats


async def test_a_deleted_search_is_gone_and_its_subscribers_hear_of_it(talk):
    check = await start(talk, HUGE)
    await talk.ask("sim.subscribe", session=check, topics=["search"])
    await talk.ask("check.delete", check=check)
    await talk.hear(lambda _, event: event["data"] == {"state": "deleted"})
    for method in ("check.stats", "check.cancel", "check.result", "check.delete"):
        with pytest.raises(ServiceError) as unknown:
            await talk.ask(method, check=check)
        assert unknown.value.code is ErrorCode.UNKNOWN_SEARCH
    # Its place is free, and its worker does something else.
    assert (await ended(talk, await start(talk, **SHORT)))["reason"] == "done"


async def test_searches_are_listed_in_pages(talk):
    names = ["c0", "c1", "c2"]
    for name in names[:2]:
        await ended(talk, await start(talk, name=name, **SHORT))
    await start(talk, HUGE, name="c2")
    first = await talk.ask("check.list", limit=2)
    rest = await talk.ask("check.list", after="c1")
    assert [line["check"] for line in first["checks"] + rest["checks"]] == names
    assert (first["more"], rest["more"]) == (True, False)
    running = await talk.ask("check.list", state="running")
    assert [line["check"] for line in running["checks"]] == ["c2"]


# --- progress --------------------------------------------------------------------------------------------------------


async def test_whoever_asks_is_told_how_far_it_is_until_it_has_ended(talk):
    check = await start(talk)
    await talk.ask("sim.subscribe", session=check, topics=["search"], credit=10_000)
    last = await talk.hear(lambda _, event: event["data"]["state"] == "ended")
    told_ = [event for name, event in talk.told if name == "sim.event"]
    assert [event["number"] for event in told_] == list(range(1, len(told_) + 1))
    steps = [event["data"]["numbers"]["steps"] for event in told_]
    assert steps == sorted(steps)
    assert last["data"] == await talk.ask("check.stats", check=check)
    # Later ones are told so at once.
    await talk.ask("sim.subscribe", session=check, topics=["search"])
    assert [event["data"] for _, event in talk.told[-1:]] == [last["data"]]


async def scraped(bound):
    lines = (await ask(bound.metrics.port))[2].decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


async def test_metrics_tell_what_searches_do_and_have_done(tmp_path):
    async with serving(tmp_path, metrics=ANYWHERE) as bound, talking(tmp_path / "k.sock") as talk:
        stats = [await ended(talk, await start(talk, strategy="exhaustive", seed=seed)) for seed in (1, 2)]
        found = await scraped(bound)
        for name, number in (("schedules", "schedules"), ("events", "steps")):
            assert found[f"kactors_searched_{name}_total"] == sum(each["numbers"][number] for each in stats)
        assert (found["kactors_search_states"], found["kactors_search_frontier"]) == (0, 0)
        await progressed(talk, await start(talk, HUGE, strategy="exhaustive"))
        found = await scraped(bound)
        by_state = [found[f'kactors_searches{{state="{state}"}}'] for state in ("running", "ended", "failed")]
        assert by_state == [1, 2, 0]
        assert found["kactors_search_states"] > found["kactors_search_frontier"] > 0


async def test_without_credit_progress_is_dropped_and_counted(talk):
    check = await start(talk, HUGE)
    number = (await talk.ask("sim.subscribe", session=check, topics=["search"], credit=1))["subscription"]
    while not (credit := await talk.ask("sim.credit", subscription=number, events=1))["dropped"]:
        await talk.ask("sim.unsubscribe", subscription=number)
        number = (await talk.ask("sim.subscribe", session=check, topics=["search"], credit=1))["subscription"]
        before = (await talk.ask("check.stats", check=check))["numbers"]["steps"]
        while (await talk.ask("check.stats", check=check))["numbers"]["steps"] == before:
            await trio.lowlevel.checkpoint()
    event = await talk.hear(lambda _, event: event.get("subscription") == number and event["number"] > 1)
    assert event["dropped"] >= credit["dropped"]


async def test_a_subscription_to_a_search_is_one_of_the_subscriptions(tmp_path):
    limits = {"subscriptions_per_client_max": 1, "credit_max": 100}
    async with serving(tmp_path, limits=limits), talking(tmp_path / "k.sock") as talk:
        check = await start(talk, HUGE)
        with pytest.raises(ServiceError) as alone:
            await talk.ask("sim.subscribe", session=check, topics=["search", "state"])
        assert alone.value.code is ErrorCode.INVALID_PARAMS
        number = (await talk.ask("sim.subscribe", session=check, topics=["search"]))["subscription"]
        for asked in (("sim.subscribe", {"session": check, "topics": ["search"]}), ("sim.credit", {"events": 101})):
            params = asked[1] if asked[0] == "sim.subscribe" else asked[1] | {"subscription": number}
            with pytest.raises(ServiceError) as quota:
                await talk.ask(asked[0], **params)
            assert quota.value.code is ErrorCode.QUOTA
        async with talking(tmp_path / "k.sock") as other:
            with pytest.raises(ServiceError) as unknown:
                await other.ask("sim.credit", subscription=number, events=1)
            assert unknown.value.code is ErrorCode.UNKNOWN_SUBSCRIPTION
        await talk.ask("sim.unsubscribe", subscription=number)
        assert (await talk.ask("server.stats"))["subscriptions"] == 0


async def test_who_goes_takes_his_subscriptions_along_and_leaves_the_search(tmp_path):
    async with serving(tmp_path), talking(tmp_path / "k.sock") as talk:
        async with talking(tmp_path / "k.sock") as other:
            check = await start(other, HUGE)
            await other.ask("sim.subscribe", session=check, topics=["search"])
        while (await talk.ask("server.stats"))["subscriptions"]:
            await trio.lowlevel.checkpoint()
        assert (await talk.ask("check.stats", check=check))["state"] == "running"


# --- quotas and neighbours -------------------------------------------------------------------------------------------


async def test_quotas_are_told_and_kept(tmp_path):
    limits = {"searches_running_per_client_max": 1, "searches_running_max": 2, "searches_per_client_max": 2}
    async with serving(tmp_path, limits=limits), talking(tmp_path / "k.sock") as talk:
        hello = await talk.ask("hello", client="one")
        assert limits.items() <= hello["limits"].items()
        assert "check" in hello["capabilities"]
        check = await start(talk, HUGE)
        for path, limit in (
            ("one", "searches_running_per_client_max"),
            ("two", None),
            ("three", "searches_running_max"),
        ):
            async with talking(tmp_path / "k.sock") as other:
                await other.ask("hello", client=path)
                if limit is None:
                    await start(other, HUGE)
                    continue
                with pytest.raises(ServiceError) as quota:
                    await start(other, HUGE)
                assert quota.value.data["limit"] == limit
        await talk.ask("check.cancel", check=check)
        await ended(talk, await start(talk, **SHORT))
        with pytest.raises(ServiceError) as quota:
            await start(talk)
        assert quota.value.data["limit"] == "searches_per_client_max"


@pytest.mark.parametrize("limit", [{"search_states_max": 5000}, {"search_time_s_max": 0.2}])
async def test_a_search_that_needs_too_much_ends_with_what_it_covered(tmp_path, limit):
    async with serving(tmp_path, limits=limit), talking(tmp_path / "k.sock") as talk:
        check = await start(talk, HUGE, strategy="exhaustive")
        stats = await ended(talk, check)
        ((name, _),) = limit.items()
        assert stats["reason"] == name
        assert not (await talk.ask("check.result", check=check))["searched"]["complete"]


async def test_the_seconds_of_a_search_are_kept(talk):
    check = await start(talk, HUGE, strategy="random", seconds=0.1)
    assert (await ended(talk, check))["reason"] == "time"


async def test_a_search_does_not_slow_the_control_of_another_client(tmp_path):
    async with serving(tmp_path), talking(tmp_path / "k.sock") as talk, talking(tmp_path / "k.sock") as other:
        for strategy in ("exhaustive", "portfolio"):
            await progressed(talk, await start(talk, HUGE, strategy=strategy))
        session = (await other.ask("sim.create", scenario=ENDLESS))["session"]
        pauses = []
        for _ in range(PAUSES):
            await other.ask("sim.start", session=session)
            pauses.append(await took_s(other, "sim.pause", session=session))
        assert statistics.median(pauses) < GENEROUS * TARGET_S, sorted(pauses)
        steps = [await took_s(other, "sim.step", session=session, events=10) for _ in range(PAUSES)]
        assert statistics.median(steps) < GENEROUS * TARGET_S, sorted(steps)
