"""What is asked, without any I/O: each method's requests, and what follows a lost connection."""

import pytest

from kactors.client import BlockingClient, BlockingSearch, BlockingSession, Client, Search, ServiceLostError, Session
from kactors.client.client_plans import ClientPlans
from kactors.client.errors import LostError
from kactors.client.plans import RESENDS_MAX, Ask, Done, Sleep, resume
from kactors.client.session_plans import SessionPlans
from protocols.scenario import Scenario
from protocols.service.commands import InjectFault, Position, Until
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.methods import METHODS
from protocols.service.sessions import State, Where

LOST = LostError("the service at unix:/x ended the connection")
FAULT = InjectFault(cpu=0, address=4096)

NAMES = {
    "hello": "service",
    "api.info": "api_info",
    "server.stats": "server_stats",
    "server.shutdown": "shutdown",
    "sim.create": "create",
    "sim.list": "list",
    "sim.attach": "look",
    "sim.subscribe": "subscribe",
    "sim.credit": "subscribe",
    "sim.unsubscribe": "subscribe",
    "check.start": "check",
    "check.list": "list_checks",
}


@pytest.mark.parametrize("method", METHODS)
def test_both_clients_have_every_method(method):
    group, _, rest = method.partition(".")
    name = NAMES.get(method, rest)
    handles = (Search, BlockingSearch) if group == "check" else (Session, BlockingSession)
    for each in zip((Client, BlockingClient), handles, strict=True):
        assert any(hasattr(handle, name) for handle in each)


def stands(events=0, sequence=0, state=State.PAUSED, now_ns=0):
    position = Position(events=events, now_ns=now_ns, fingerprint="f")
    return {
        "session": "s",
        "state": state.value,
        "sequence": sequence,
        "position": position.model_dump(),
        "stop": None,
        "subscription": None,
    }


def conflict(sequence):
    return ServiceError(ErrorCode.CONFLICT, "another sequence", {"sequence": sequence})


def at(events=0, sequence=0):
    return SessionPlans("s", Where.model_validate(stands(events, sequence)))


def play(plan, *outcomes):
    """Carry a plan out against given answers; return what it asked, as (method, params) pairs, and its result."""
    asked = []
    step = resume(plan)
    for outcome in outcomes:
        assert isinstance(step, Ask), step
        asked.append((step.method, step.params.model_dump(mode="json", exclude_unset=True) if step.params else {}))
        step = resume(plan, outcome)
    assert isinstance(step, Done), step
    return asked, step.value


def test_a_step_that_was_not_carried_out_is_asked_for_again():
    asked, stepped = play(at(10, 4).step(events=5), LOST, stands(10, 4), stands(15, 5) | {"reason": "events"})
    assert [name for name, _ in asked] == ["sim.step", "sim.attach", "sim.step"]
    assert asked[0][1] == asked[2][1] == {"session": "s", "events": 5, "if_sequence": 4}
    assert stepped.position.events == 15


def test_a_step_that_was_carried_out_is_not_asked_for_again():
    asked, stepped = play(at(10, 4).step(events=5), LOST, stands(15, 5))
    assert [name for name, _ in asked] == ["sim.step", "sim.attach"]
    assert (stepped.position.events, stepped.sequence, stepped.reason) == (15, 5, "events")


def test_the_rest_of_half_a_step_is_asked_for():
    running, paused = stands(11, 4, State.RUNNING), stands(12, 5)
    session = at(10, 4)
    asked, _ = play(session.step(events=5), LOST, running, paused, stands(15, 6) | {"reason": "events"})
    assert asked[2] == ("sim.pause", {"session": "s"})
    assert asked[3] == ("sim.step", {"session": "s", "events": 3, "if_sequence": 5})
    assert session.where.sequence == 6


def test_the_rest_of_a_time_is_a_run_to_the_same_instant():
    asked, _ = play(
        at(10, 4).step(time_ns=500), LOST, stands(11, 4, now_ns=200), stands(15, 5, now_ns=500) | {"reason": "time"}
    )
    assert asked[2] == ("sim.run_until", {"session": "s", "until_ns": 500, "if_sequence": 4})


def test_a_step_of_several_goals_ends_at_the_first():
    def step():
        return at(10, 4).step(events=5, time_ns=500, until=Until(quantity="faults", value=3))

    assert play(step(), LOST, stands(11, 5, now_ns=500))[1].reason == "time"
    assert play(step(), LOST, stands(11, 5, State.ENDED))[1].reason == "ended"
    asked, _ = play(step(), LOST, stands(11, 4, now_ns=200), stands(15, 5) | {"reason": "events"})
    assert (asked[2][1]["events"], asked[2][1]["time_ns"]) == (4, 300)


def test_where_a_session_stands_is_asked_when_it_is_not_known():
    asked, _ = play(SessionPlans("s").step(), stands(7, 3), stands(8, 4) | {"reason": "events"})
    assert asked == [("sim.attach", {"session": "s"}), ("sim.step", {"session": "s", "if_sequence": 3})]
    running = SessionPlans("s", Where.model_validate(stands(7, 3, State.RUNNING)))
    assert play(running.step(), stands(9, 3), stands(10, 4) | {"reason": "events"})[0][0][0] == "sim.attach"


def test_a_cancelled_step_leaves_it_unknown_where_the_session_stands():
    session = at(10, 4)
    plan = session.step(events=5)
    resume(plan)
    plan.close()
    assert session.where is None


def test_a_change_that_was_not_carried_out_is_asked_for_again():
    session = at(10, 4)
    asked, where = play(session.inject(FAULT), LOST, stands(10, 5))
    assert asked[0] == asked[1]
    assert asked[0][1]["if_sequence"] == 4
    assert session.where == where


def test_a_change_that_was_carried_out_is_not_made_again():
    asked, where = play(at(10, 4).inject(FAULT), LOST, conflict(5), stands(10, 5))
    assert [name for name, _ in asked] == ["sim.inject", "sim.inject", "sim.attach"]
    assert where.sequence == 5


def test_another_clients_change_is_no_reason_to_refuse_ours():
    asked, _ = play(at(10, 4).step_back(3), conflict(9), stands(7, 10))
    assert [params["if_sequence"] for _, params in asked] == [4, 9]
    asked, _ = play(at(10, 4).step(events=2), conflict(9), stands(20, 9), stands(22, 10) | {"reason": "events"})
    assert asked[2][1]["if_sequence"] == 9


@pytest.mark.parametrize("plan", [lambda s: s.inject(FAULT, if_sequence=4), lambda s: s.step(if_sequence=4)])
def test_a_sequence_that_the_caller_names_is_his_own(plan):
    with pytest.raises(ServiceError, match="another sequence"):
        play(plan(at(10, 4)), conflict(9))


def test_among_several_changes_at_once_nobody_can_tell_whose_was_carried_out():
    session = at(10, 4)
    first, second = session.inject(FAULT), session.inject(FAULT)
    resume(first)
    resume(second)
    for plan in (first, second):
        resume(plan, LOST)
    with pytest.raises(ServiceError, match="another sequence"):
        resume(first, conflict(5))
    with pytest.raises(ServiceError, match="another sequence"):
        resume(second, conflict(5))
    assert play(session.inject(FAULT), LOST, conflict(6), stands(10, 6))[1].sequence == 6


def test_a_request_that_costs_every_connection_is_given_up():
    plan = SessionPlans("s").stats()
    resume(plan)
    for _ in range(RESENDS_MAX):
        resume(plan, LOST)
    with pytest.raises(ServiceLostError, match=r"unix:/x ended the connection, 6 times while sim\.stats was asked"):
        resume(plan, LOST)


def test_a_key_is_made_up_and_asked_with_again():
    for plan in (ClientPlans().create(Scenario(cpus=2)), at().fork()):
        first = resume(plan)
        again = resume(plan, LOST)
        assert first == again
        assert len(first.params.key) == 32
        made = resume(plan, stands() | {"existing": True}).value
        assert (made.name, made.existing) == ("s", True)


def test_a_named_checkpoint_is_made_once():
    made = {"session": "s", "checkpoint": "c", "position": stands(3)["position"]}
    exists = ServiceError(ErrorCode.CONFLICT, "there is a checkpoint c")
    assert play(at(3).checkpoint("c"), LOST, made)[1].position.events == 3
    assert play(at(3).checkpoint("c"), LOST, exists, stands(3))[1].position.events == 3
    with pytest.raises(ServiceError, match="there is a checkpoint"):
        play(at(3).checkpoint("c"), exists)


def test_what_is_deleted_stays_deleted():
    unknown = ServiceError(ErrorCode.UNKNOWN_SESSION, "there is no session s")
    assert play(at().delete(), LOST, unknown)[1].session == "s"
    with pytest.raises(ServiceError, match="no session"):
        play(at().delete(), unknown)


def test_the_service_is_ended_once():
    asked, ending = play(ClientPlans().shutdown("enough"), LOST)
    assert asked == [("server.shutdown", {"reason": "enough"})]
    assert ending.ending


def test_any_method_by_name_is_asked_again_only_if_it_changes_nothing():
    assert len(play(ClientPlans().call("sim.stats", {"session": "s"}), LOST, {"session": "s"})[0]) == 2
    with pytest.raises(ServiceLostError, match=r"whether sim\.step was carried out is not known"):
        play(ClientPlans().call("sim.step", {"session": "s"}), LOST)
    for method, params in (("sim.stop", {}), ("sim.step", {"sesion": "s"})):
        with pytest.raises(ServiceError):
            resume(ClientPlans().call(method, params))


def line(name):
    return {
        "session": name,
        "client": "c",
        "state": "paused",
        "sequence": 0,
        "events": 0,
        "now_ns": 0,
        "workload": "ebizzy",
        "policy": "classic",
        "machine": "small",
        "seed": 1,
        "created_at": 0.0,
        "checkpoints": [],
        "forked_from": None,
    }


def test_all_pages_of_the_list_are_fetched_and_from_the_start_when_a_page_is_gone():
    gone = ServiceError(ErrorCode.UNKNOWN_SESSION, "there is no session a")
    first = {"sessions": [line("a")], "more": True}
    last = {"sessions": [line("b")], "more": False}
    asked, found = play(ClientPlans().list(), first, gone, {"sessions": [line("c")], "more": True}, last)
    assert [params for _, params in asked] == [{}, {"after": "a"}, {}, {"after": "c"}]
    assert [info.session for info in found] == ["c", "b"]


def numbers(state, sequence=1, events=5):
    return {
        "session": "s",
        "state": state,
        "sequence": sequence,
        "events": events,
        "now_ns": 0,
        "goal_ns": None,
        "goal_events": None,
        "wall_s": 0.1,
        "events_per_s": 1.0,
        "worker": 0,
        "subscriptions": 0,
        "quantities": {},
    }


def test_a_run_tells_its_progress_and_sleeps_between():
    heard = []
    plan = at().run(lambda stats: heard.append(stats.events), poll_s=0.5)
    assert resume(plan).method == "sim.attach"
    assert resume(plan, stands()).method == "sim.start"
    assert resume(plan, stands(0, 1, State.RUNNING)).method == "sim.stats"
    assert resume(plan, numbers("running")) == Sleep(0.5)
    assert resume(plan).method == "sim.stats"
    assert resume(plan, numbers("ended", events=9)).method == "sim.result"
    assert heard == [5, 9]
    plan.close()


def test_a_run_that_is_paused_says_by_whom():
    plan = at().run()
    for outcome in (None, stands(), stands(0, 1, State.RUNNING)):
        resume(plan, outcome)
    with pytest.raises(ServiceError, match="s was paused by another client after 5 deliveries"):
        resume(plan, numbers("paused", sequence=2))


def test_a_run_that_fails_says_why():
    plan = at().run()
    for outcome in (None, stands(), stands(0, 1, State.RUNNING), numbers("failed"), stands(5, 1)):
        step = resume(plan, outcome)
        if isinstance(step, Ask) and step.method == "sim.run_until":
            break
    with pytest.raises(ServiceError, match="s failed"):
        resume(plan, ServiceError(ErrorCode.ACTOR_CRASHED, "s failed: cpu0 crashed"))
