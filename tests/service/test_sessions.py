"""Sessions over a real socket: made, driven, looked at, changed, brought back."""

import pytest
import trio

from kactors import Scenario, run
from kactors.rpc.codec import encode_request
from kactors.service.registry import Registry
from kactors.service.seat import Seat
from protocols.service.errors import ErrorCode, ServiceError
from tests.service.talk import EBIZZY, ENDLESS, serving, talking

STARVED = {"kind": "starved_cpu", "cpu": 0, "duration_ns": 50_000}


async def create(talk, scenario=EBIZZY, **params):
    return (await talk.ask("sim.create", scenario=scenario, **params))["session"]


async def test_a_session_runs_to_its_end_and_tells_the_result_of_the_same_run(talk):
    session = await create(talk)
    ended = await talk.ask("sim.run_until", session=session)
    assert (ended["state"], ended["reason"], ended["sequence"]) == ("ended", "ended", 1)
    outcome = await talk.ask("sim.result", session=session)
    assert outcome["result"] == run(Scenario(**EBIZZY)).to_json()


async def test_steps_of_any_kind_add_up_to_the_same_run(talk):
    whole, parts = await create(talk), await create(talk)
    end = await talk.ask("sim.run_until", session=whole)
    assert (await talk.ask("sim.step", session=parts))["position"]["events"] == 1
    assert (await talk.ask("sim.step", session=parts, events=99))["position"]["events"] == 100
    by_time = await talk.ask("sim.step", session=parts, time_ns=50_000)
    assert by_time["reason"] == "time"
    faults = {"quantity": "faults", "value": 90}
    assert (await talk.ask("sim.step", session=parts, until=faults))["reason"] == "predicate"
    assert (await talk.ask("sim.stats", session=parts))["quantities"]["faults"] == 90
    assert (await talk.ask("sim.run_until", session=parts))["position"] == end["position"]


async def test_pause_stops_a_run_that_has_no_end(talk):
    session = await create(talk, ENDLESS)
    assert (await talk.ask("sim.start", session=session))["state"] == "running"
    with pytest.raises(ServiceError) as refused:
        await talk.ask("sim.step", session=session)
    assert refused.value.code is ErrorCode.WRONG_STATE
    paused = await talk.ask("sim.pause", session=session)
    assert (paused["state"], paused["sequence"]) == ("paused", 2)
    stats = await talk.ask("sim.stats", session=session)
    assert (stats["events"], stats["now_ns"]) == (paused["position"]["events"], paused["position"]["now_ns"])


async def test_requests_of_one_connection_begin_in_their_order(talk):
    session = await create(talk, ENDLESS)
    for _ in range(30):
        run = encode_request(1000, "sim.run_until", [{"session": session}])
        pause = encode_request(1001, "sim.pause", [{"session": session}])
        talk.expect(1000, 1001)
        await talk.stream.send_all(run + pause)
        with trio.fail_after(10):
            assert (await talk.end(1000))["reason"] == "paused"
            assert (await talk.end(1001))["state"] == "paused"


async def test_the_same_key_makes_the_same_session_and_other_params_conflict(talk):
    await talk.ask("hello", client="me")
    first = await talk.ask("sim.create", scenario=EBIZZY, key="k")
    again = await talk.ask("sim.create", scenario=EBIZZY, key="k")
    assert again == first | {"existing": True}
    with pytest.raises(ServiceError) as conflict:
        await talk.ask("sim.create", scenario=EBIZZY, seed=5, key="k")
    assert conflict.value.code is ErrorCode.CONFLICT


async def test_if_sequence_makes_a_retry_safe(talk):
    session = await create(talk)
    done = await talk.ask("sim.step", session=session, events=10, if_sequence=0)
    with pytest.raises(ServiceError) as conflict:
        await talk.ask("sim.step", session=session, events=10, if_sequence=0)
    assert (conflict.value.code, conflict.value.data) == (ErrorCode.CONFLICT, {"sequence": done["sequence"]})


INJECTIONS = [
    {"kind": "fault", "cpu": 1, "address": 0x10000, "write": True},
    {"kind": "munmap", "cpu": 0, "address": 0x10000, "length": 4096},
    {"kind": "collapse", "address": 0},
    {"kind": "memory_pressure", "pages": 100, "duration_ns": 100_000},
    {"kind": "starved_cpu", "cpu": 1, "duration_ns": 100_000},
]


async def busy_session(talk):
    """A session with a past of every kind."""
    session = await create(talk)
    await talk.ask("sim.step", session=session, events=500)
    for injection in INJECTIONS:
        await talk.ask("sim.inject", session=session, injection=injection)
        await talk.ask("sim.step", session=session, events=50)
    await talk.ask("sim.set_bound", session=session, bounds={"spf_inflight_max": 1})
    await talk.ask("sim.step", session=session, time_ns=100_000)
    return session


async def outcome(talk, session):
    await talk.ask("sim.run_until", session=session)
    return (await talk.ask("sim.result", session=session))["result"]


async def test_a_fork_equals_its_parent_byte_for_byte(talk):
    session = await busy_session(talk)
    fork = await talk.ask("sim.fork", session=session)
    assert fork["position"] == (await talk.ask("sim.attach", session=session))["position"]
    assert await outcome(talk, fork["session"]) == await outcome(talk, session)


async def test_a_fork_equals_a_fresh_session_with_the_same_commands(talk):
    session, fresh = await busy_session(talk), await busy_session(talk)
    await talk.ask("sim.step", session=session, events=1000)
    events = (await talk.ask("sim.attach", session=fresh))["position"]["events"]
    fork = (await talk.ask("sim.fork", session=session, events=events, policy="classic"))["session"]
    other = (await talk.ask("sim.fork", session=fresh, policy="classic"))["session"]
    ended = await outcome(talk, fork)
    assert ended == await outcome(talk, other)
    assert ended != await outcome(talk, session)


async def test_restore_and_step_back_lead_to_the_same_future(talk):
    session = await busy_session(talk)
    saved = await talk.ask("sim.checkpoint", session=session, name="here")
    future = (await talk.ask("sim.step", session=session, events=300))["position"]
    await talk.ask("sim.inject", session=session, injection=INJECTIONS[0])
    await talk.ask("sim.step", session=session, events=5)
    restored = await talk.ask("sim.restore", session=session, checkpoint="here")
    assert restored["position"] == saved["position"]
    assert (await talk.ask("sim.step", session=session, events=300))["position"] == future
    back = await talk.ask("sim.step_back", session=session, events=120)
    assert back["position"]["events"] == future["events"] - 120
    assert (await talk.ask("sim.step", session=session, events=120))["position"] == future


async def test_whoever_asks_while_a_session_goes_back_waits_for_it(talk):
    session = await busy_session(talk)
    saved = await talk.ask("sim.checkpoint", session=session, name="here")
    await talk.ask("sim.step", session=session, events=100)
    restore = await talk.begin("sim.restore", session=session, checkpoint="here")
    state = await talk.begin("sim.state", session=session)
    subscribe = await talk.begin("sim.subscribe", session=session, topics=["counters"])
    assert (await talk.end(restore))["position"] == saved["position"]
    assert (await talk.end(state))["events"] == saved["position"]["events"]
    assert (await talk.end(subscribe))["number"] == 0


async def test_an_ended_session_can_go_back_and_end_again(talk):
    session = await create(talk)
    end = await talk.ask("sim.run_until", session=session)
    with pytest.raises(ServiceError) as ended:
        await talk.ask("sim.step", session=session)
    assert ended.value.code is ErrorCode.WRONG_STATE
    await talk.ask("sim.step_back", session=session, events=10)
    with pytest.raises(ServiceError) as not_ended:
        await talk.ask("sim.result", session=session)
    assert not_ended.value.code is ErrorCode.WRONG_STATE
    assert (await talk.ask("sim.run_until", session=session))["position"] == end["position"]


async def test_a_finding_ends_a_session_and_says_so(talk):
    deadlock = {
        "workload": "munmap-vs-fault",
        "machine": "small",
        "policy": "broken-blocking-spin",
        "costs": {"mmu_gather_pages": 3},
        "seed": 4,
    }
    session = await create(talk, deadlock)
    ended = await talk.ask("sim.run_until", session=session)
    assert ended["stop"]["kind"] == "deadlock"
    with pytest.raises(ServiceError) as finding:
        await talk.ask("sim.step", session=session)
    assert finding.value.code is ErrorCode.ENDED_BY_FINDING
    assert finding.value.data["stop"] == ended["stop"]


async def test_state_shows_any_actor_and_changes_nothing(talk):
    session, other = await create(talk), await create(talk)
    await talk.ask("sim.step", session=session, events=700)
    await talk.ask("sim.step", session=other, events=700)
    names = (await talk.ask("sim.state", session=session))["actors"]
    for name in names:
        assert (await talk.ask("sim.state", session=session, actor=name))["state"]
    with pytest.raises(ServiceError) as unknown:
        await talk.ask("sim.state", session=session, actor="cpu99")
    assert unknown.value.code is ErrorCode.UNKNOWN_ACTOR
    end = await talk.ask("sim.run_until", session=session)
    assert (await talk.ask("sim.run_until", session=other))["position"] == end["position"]


@pytest.mark.parametrize(
    ("method", "params", "code", "says"),
    [
        ("sim.create", {"scenario": {"policy": "spf-v99"}}, ErrorCode.BAD_SCENARIO, "spf-v99"),
        ("sim.create", {"scenario": {"polcy": "classic"}}, ErrorCode.INVALID_PARAMS, "polcy"),
        ("sim.stats", {"session": "nobody"}, ErrorCode.UNKNOWN_SESSION, "nobody"),
        ("sim.stats", {}, ErrorCode.INVALID_PARAMS, "session"),
        ("sim.stop", {}, ErrorCode.UNKNOWN_METHOD, "sim.stop"),
        ("sim.credit", {"subscription": 99999, "events": 1}, ErrorCode.UNKNOWN_SUBSCRIPTION, "99999"),
    ],
)
async def test_what_is_wrong_is_refused_by_name(talk, method, params, code, says):
    with pytest.raises(ServiceError, match=says) as refused:
        await talk.ask(method, **params)
    assert refused.value.code is code
    assert not (await talk.ask("sim.list"))["sessions"]


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("sim.inject", {"injection": {"kind": "fault", "cpu": 17, "address": 0}}),
        ("sim.restore", {"checkpoint": "never"}),
        ("sim.step_back", {"events": 10_000_000}),
        ("sim.fork", {"policy": "spf-v99"}),
        ("sim.fork", {"events": 10_000_000}),
    ],
)
async def test_a_refused_change_changes_nothing(talk, method, params):
    session = await create(talk)
    before = await talk.ask("sim.step", session=session, events=100)
    with pytest.raises(ServiceError):
        await talk.ask(method, session=session, **params)
    after = await talk.ask("sim.attach", session=session)
    assert (after["position"], after["sequence"]) == (before["position"], before["sequence"])
    assert len((await talk.ask("sim.list"))["sessions"]) == 1
    assert (await talk.ask("sim.step", session=session))["position"]["events"] == 101


async def test_delete_forgets_a_running_session(talk):
    session = await create(talk, ENDLESS)
    await talk.ask("sim.start", session=session)
    await talk.ask("sim.delete", session=session)
    with pytest.raises(ServiceError) as unknown:
        await talk.ask("sim.stats", session=session)
    assert unknown.value.code is ErrorCode.UNKNOWN_SESSION


async def test_a_restart_brings_every_session_back(tmp_path):
    async with serving(tmp_path), talking(tmp_path / "k.sock") as talk:
        session = await busy_session(talk)
        await talk.ask("sim.checkpoint", session=session, name="here")
        ended = await create(talk)
        await talk.ask("sim.run_until", session=ended)
        result = await talk.ask("sim.result", session=ended)
        before = await talk.ask("sim.attach", session=session)
        stats = await talk.ask("sim.stats", session=session)
    async with serving(tmp_path), talking(tmp_path / "k.sock") as talk:
        assert await talk.ask("sim.attach", session=session) == before
        assert (await talk.ask("sim.stats", session=session))["quantities"] == stats["quantities"]
        assert await talk.ask("sim.result", session=ended) == result
        future = await talk.ask("sim.step", session=session, events=200)
        await talk.ask("sim.restore", session=session, checkpoint="here")
        assert (await talk.ask("sim.step", session=session, events=200))["position"] == future["position"]


async def test_what_ran_when_the_service_ended_runs_on_when_it_is_back(tmp_path):
    async with serving(tmp_path), talking(tmp_path / "k.sock") as talk:
        session = await create(talk, EBIZZY | {"until_ns": 30_000_000})
        await talk.ask("sim.start", session=session)
    async with serving(tmp_path), talking(tmp_path / "k.sock") as talk:
        subscribed = await talk.ask("sim.subscribe", session=session, topics=["state"])
        if (await talk.ask("sim.attach", session=session))["state"] == "running":
            await talk.hear(lambda name, event: name == "sim.event" and event["data"]["state"] == "ended")
        assert subscribed["subscription"] > 0
        assert (await talk.ask("sim.pause", session=session))["state"] == "ended"


async def test_a_fork_has_one_place(talk):
    session = await create(talk)
    await talk.ask("sim.checkpoint", session=session, name="c")
    with pytest.raises(ServiceError, match="two places to fork at") as refused:
        await talk.ask("sim.fork", session=session, checkpoint="c", events=0)
    assert refused.value.code is ErrorCode.INVALID_PARAMS


async def test_keys_of_what_could_not_be_made_are_forgotten(tmp_path, monkeypatch):
    registries = []
    monkeypatch.setattr(Registry, "load", lambda registry, _records: registries.append(registry))
    async with serving(tmp_path), talking(tmp_path / "k.sock") as talk:
        for key in range(5):
            with pytest.raises(ServiceError):
                await talk.ask("sim.create", scenario=EBIZZY | {"machine": "none"}, key=f"k{key}")
        assert registries[0]._key_locks == {}
        await talk.ask("sim.create", scenario=EBIZZY, key="k0")


async def test_sessions_that_are_being_made_count(tmp_path):
    async with serving(tmp_path, limits={"sessions_per_client_max": 2}), talking(tmp_path / "k.sock") as talk:
        asked = [await talk.begin("sim.create", scenario=EBIZZY) for _ in range(5)]
        codes = []
        for msgid in asked:
            try:
                await talk.end(msgid)
            except ServiceError as error:
                codes.append(error.code)
        assert codes == [ErrorCode.QUOTA] * 3


async def test_a_change_that_failed_inside_is_undone(tmp_path, monkeypatch):
    order = Seat.order

    async def breaks(seat, name, **params):
        answer = await order(seat, name, **params)
        if name == "apply":
            raise ServiceError(ErrorCode.INTERNAL, "broke")
        return answer

    async with serving(tmp_path), talking(tmp_path / "k.sock") as talk:
        session, fresh = await create(talk), await create(talk)
        monkeypatch.setattr(Seat, "order", breaks)
        with pytest.raises(ServiceError, match="broke"):
            await talk.ask("sim.inject", session=session, injection=STARVED)
        end = await talk.ask("sim.run_until", session=session)
        assert end["position"] == (await talk.ask("sim.run_until", session=fresh))["position"]


async def test_a_run_that_nobody_could_settle_goes_back_to_where_it_was_written_down(tmp_path, monkeypatch):
    monkeypatch.setattr("kactors.service.simulation.SETTLE_S", 0.0)
    async with serving(tmp_path), talking(tmp_path / "k.sock") as other:
        session = await create(other, ENDLESS)
        async with talking(tmp_path / "k.sock") as talk:
            await talk.begin("sim.run_until", session=session)
            while (await other.ask("sim.stats", session=session))["events"] == 0:
                await trio.lowlevel.checkpoint()
        while (await other.ask("sim.stats", session=session))["state"] == "running":
            await trio.lowlevel.checkpoint()
        assert (await other.ask("sim.step", session=session, events=7))["position"]["events"] == 7
