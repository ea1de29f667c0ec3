"""The server's side of a connection: what becomes a call, what is answered at once and how, and when it is over."""

import pytest

from kactors.rpc.codec import Notification, Response, encode_notification, encode_request, encode_response, pack
from kactors.rpc.session import SERVER_ERROR, ServerSession
from protocols.scenario import Bounds
from protocols.service.commands import SetBound
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.events import ServerEvent, SubscribeParams
from protocols.service.methods import METHODS
from protocols.service.sessions import Deleted, SessionParams
from tests.rpc.frames import LIMITS, decoded

STATS = {"session": "s1"}
STATES = "'paused', 'running', 'ended' or 'failed'"
TOPICS = "'state', 'counters', 'ipi_waits', 'transient_pages', 'stories' or 'search'"
KINDS = "'fault', 'munmap', 'collapse', 'memory_pressure', 'starved_cpu'"


@pytest.fixture
def session():
    return ServerSession(LIMITS, token_needed=False)


def ask(session, method, *params, msgid=1):
    return list(session.receive(encode_request(msgid, method, params)))


def sent(session):
    return decoded(session.take_output())


def refusal(session, method, *params):
    """The error with which a request is refused at once."""
    assert ask(session, method, *params) == []
    ((msgid, error, result),) = sent(session)
    assert (msgid, result) == (1, None)
    return error


def test_a_request_becomes_a_call_and_its_answer_bytes(session):
    (call,) = ask(session, "sim.stats", STATS, msgid=7)
    assert (call.msgid, call.method, call.params) == (7, METHODS["sim.stats"], SessionParams(session="s1"))
    assert "sim.stats" in repr(call)
    assert (session.in_flight, session.requests, session.take_output()) == (1, 1, b"")
    session.answer(call, Deleted(session="s1"))
    assert (session.in_flight, session.output_bytes > 0) == (0, True)
    assert sent(session) == [Response(7, None, {"session": "s1"})]
    assert (session.take_output(), session.output_bytes) == (b"", 0)


def test_an_answer_that_was_packed_before_is_sent_as_it_is(session):
    (call,) = ask(session, "sim.stats", STATS, msgid=2**32 - 1)
    session.answer(call, pack({"a": [1]}))
    assert sent(session) == [Response(2**32 - 1, None, {"a": [1]})]


def test_answers_come_in_the_order_of_answering(session):
    first, second = (ask(session, "sim.stats", STATS, msgid=msgid)[0] for msgid in (1, 2))
    session.fail(second, ServiceError(ErrorCode.UNKNOWN_SESSION, "no s1", {"session": "s1"}))
    session.answer(first, b"\xc0")
    assert sent(session) == [Response(2, [202, "no s1", {"session": "s1"}], None), Response(1, None, None)]
    assert session.errors == 1


def test_a_call_is_answered_once(session):
    (call,) = ask(session, "sim.stats", STATS)
    session.answer(call, b"\xc0")
    with pytest.raises(LookupError):
        session.answer(call, b"\xc0")
    with pytest.raises(LookupError):
        session.fail(call, ServiceError(ErrorCode.STORE, "full"))
    (other,) = ask(ServerSession(LIMITS, token_needed=False), "sim.stats", STATS)
    with pytest.raises(LookupError):
        session.answer(other, b"\xc0")


def test_a_notification_is_a_call_whose_failures_nobody_hears_of(session):
    calls = list(session.receive(encode_notification("sim.stats", [STATS]) * 2 + encode_notification("nope", [])))
    assert [call.msgid for call in calls] == [None, None]
    assert session.in_flight == 2
    session.answer(calls[0], b"\xc0")
    session.fail(calls[1], ServiceError(ErrorCode.STORE, "full"))
    assert (session.in_flight, session.untold, session.errors, session.take_output()) == (0, 2, 0, b"")


def test_the_client_is_told_something(session):
    session.notify("server.event", ServerEvent(kind="shutdown", reason="tired"))
    session.notify_packed(encode_notification("sim.event", [{"number": 1}]))
    shutdown = Notification("server.event", [{"kind": "shutdown", "reason": "tired"}])
    assert sent(session) == [shutdown, Notification("sim.event", [{"number": 1}])]


# --- refused, and the connection goes on ------------------------------------------------------------------------------


def test_an_unknown_method(session):
    assert refusal(session, "sim.stat", STATS)[:2] == [200, "there is no method 'sim.stat'; api.info lists them"]
    assert len(refusal(session, "x" * 3000)[1]) < 150
    assert not session.closing


@pytest.mark.parametrize(
    ("method", "params", "errors"),
    [
        ("sim.stats", [], ["session: missing"]),
        ("sim.stats", [{}], ["session: missing"]),
        ("sim.stats", [None], ["params are [] or [a map of named values], not nil"]),
        ("sim.stats", [b"s1"], ["params are [] or [a map of named values], not binary"]),
        ("sim.list", [{"state": "x" * 70}], [f'state: should be {STATES} (got "{"x" * 56}...)']),
        ("sim.subscribe", [STATS | {"topics": ["state", 1]}], [f"topics.1: should be {TOPICS} (got 1)"]),
        ("sim.stats", ["s1"], ['params are [] or [a map of named values], not "s1"']),
        ("sim.stats", [["s1"]], ["params are [] or [a map of named values], not a list"]),
        ("sim.stats", [STATS, STATS], ["params are [] or [a map of named values], not 2 values"]),
        (
            "sim.stats",
            [{"sesion": "s1", "\n": 1}],
            [
                "sesion: unknown key; the keys here are session",
                "\\n: unknown key; the keys here are session",
                "session: missing",
            ],
        ),
        ("api.info", [{"x": 1}], ["x: unknown key; the keys here are none"]),
        (
            "sim.step",
            [STATS | {"events": "1"}],
            ['events: should be a whole number from 1 to 2^62 (got "1")'],
        ),
        (
            "sim.step",
            [STATS | {"events": True}],
            ["events: should be a whole number from 1 to 2^62 (got true)"],
        ),
        (
            "sim.step",
            [STATS | {"events": 1.0}],
            ["events: should be a whole number from 1 to 2^62 (got 1.0)"],
        ),
        (
            "sim.step",
            [STATS | {"events": 0}],
            ["events: should be a whole number from 1 to 2^62 (got 0)"],
        ),
        ("sim.step", [STATS | {"until": []}], ["until: should be a map (got a list)"]),
        (
            "sim.step",
            [STATS | {"until": {"quantity": "faults", "valu": 1}}],
            ["until.valu: unknown key; the keys here are quantity, op, value", "until.value: missing"],
        ),
        ("sim.stats", [{"session": 1}], ["session: should be text (got 1)"]),
        ("sim.stats", [{"session": None}], ["session: should be text (got nil)"]),
        ("sim.stats", [{"session": {}}], ["session: should be text (got a map)"]),
        (
            "sim.inject",
            [STATS | {"injection": {"kind": "fault", "cpu": True, "adress": 1}}],
            [
                "injection.adress: unknown key; the keys here are kind, cpu, address, write",
                "injection.cpu: should be a whole number from 0 to 4095 (got true)",
                "injection.address: missing",
            ],
        ),
        ("sim.inject", [STATS | {"injection": {}}], ["injection.kind: missing"]),
        (
            "sim.inject",
            [STATS | {"injection": {"kind": "x"}}],
            [f'injection.kind: should be one of {KINDS} (got "x")'],
        ),
        ("sim.subscribe", [STATS | {"topics": "state"}], ['topics: should be a list (got "state")']),
        (
            "sim.create",
            [{"scenario": {"cpus": "1", "threads": True, "bounds": {"on_limit": "x", "max": 1}}}],
            [
                f"scenario.bounds.max: unknown key; the keys here are {', '.join(Bounds.model_fields)}",
                'scenario.cpus: should be a whole number from 1 to 4096 (got "1")',
                "scenario.threads: should be a whole number from 1 to 65536 (got true)",
                "scenario.bounds.on_limit: should be 'wait', 'classic' or 'stop' (got \"x\")",
            ],
        ),
        (
            "sim.create",
            [{"scenario": {"options": {"a": None}}}],
            ["scenario.options.a: should be true or false or a whole number or text (got nil)"],
        ),
        (
            "hello",
            [{"client": b"me"}],
            ["a binary value; only strings, numbers, booleans, nil, lists and maps are used"],
        ),
        (
            "hello",
            [{b"client": "me"}],
            ["a binary value; only strings, numbers, booleans, nil, lists and maps are used"],
        ),
        ("hello", [{"client": float("nan")}], ["a number that is infinite or not a number"]),
    ],
)
def test_wrong_params_are_named_one_by_one(session, method, params, errors):
    code, message, data = refusal(session, method, *params)
    assert (code, data) == (201, {"errors": errors})
    more = f" (and {len(errors) - 1} more, see data.errors)" if len(errors) > 1 else ""
    assert message == f"{method}: {errors[0]}{more}"


@pytest.mark.parametrize("many", [30, 300])
def test_of_many_wrong_params_not_all_are_named(session, many):
    _, _, data = refusal(session, "sim.stats", {f"key{number}": 1 for number in range(many)})
    assert len(data["errors"]) == (21 if many == 30 else 1)
    assert data["errors"][-1].startswith("... and 11 more" if many == 30 else "301 things are wrong")


def test_lists_are_tuples_and_strings_enums(session):
    (call,) = ask(session, "sim.subscribe", STATS | {"topics": ["state", "stories"]})
    assert call.params == SubscribeParams(session="s1", topics=("state", "stories"))
    (call,) = ask(session, "sim.list", {"state": "paused"}, msgid=2)
    assert call.params.state.value == "paused"
    (call,) = ask(session, "sim.create", {"scenario": {"cpus": 2, "bounds": {"on_limit": "stop"}}}, msgid=3)
    assert (call.params.scenario.cpus, call.params.scenario.bounds.on_limit.value) == (2, "stop")


def test_keys_of_a_bound_that_were_not_given_are_known_from_those_that_are_nil(session):
    (call,) = ask(session, "sim.set_bound", STATS | {"bounds": {"command": "set_bound", "spf_inflight_max": None}})
    assert call.params.bounds == SetBound(spf_inflight_max=None)
    assert call.params.bounds.model_dump(exclude_unset=True) == {"command": "set_bound", "spf_inflight_max": None}
    assert SetBound().model_dump(exclude_unset=True) == {"command": "set_bound"}


def test_too_many_requests_in_flight_notifications_too(session):
    many = LIMITS.requests_in_flight_max
    calls = ask(session, "sim.stats", STATS) + list(
        session.receive(encode_notification("sim.stats", [STATS]) * (many + 1))
    )
    assert (len(calls), session.in_flight, session.untold) == (many, many, 2)
    assert ask(session, "sim.stats", STATS, msgid=2) == []
    ((msgid, (code, _, data), _),) = sent(session)
    assert (msgid, code, data) == (2, 300, {"limit": "requests_in_flight_max", "value": many})
    session.answer(calls[-1], b"\xc0")
    assert len(ask(session, "sim.stats", STATS, msgid=2)) == 1


def test_hello_comes_first_where_a_token_is_needed():
    session = ServerSession(LIMITS, token_needed=True)
    assert refusal(session, "sim.stats", STATS)[0] == ErrorCode.HELLO_FIRST
    assert refusal(session, "nope")[0] == ErrorCode.HELLO_FIRST
    pipelined = encode_request(1, "hello", [{"token": "t"}]) + encode_request(2, "sim.stats", [STATS])
    (hello,) = list(session.receive(pipelined))
    assert [response.msgid for response in sent(session)] == [2]
    session.authenticated()
    session.answer(hello, b"\xc0")
    assert len(ask(session, "sim.stats", STATS)) == 1


@pytest.mark.parametrize("data", [{"a": object()}, {"a": "\ud800"}, {"a": 2**64}])
def test_an_error_whose_data_cannot_be_packed_is_told_without(session, data):
    (call,) = ask(session, "sim.stats", STATS)
    session.fail(call, ServiceError(ErrorCode.ACTOR_CRASHED, "\ud800 crashed", data))
    assert sent(session) == [Response(1, [601, "\\ud800 crashed", {}], None)]


def test_a_result_that_cannot_be_packed_is_an_error_of_the_service(session):
    (call,) = ask(session, "sim.stats", STATS)
    session.answer(call, Deleted(session="\ud800"))
    ((_, (code, *_), _),) = sent(session)
    assert (code, session.in_flight) == (600, 0)


# --- the end ----------------------------------------------------------------------------------------------------------


def ended(session):
    """What a session says last, after which it says and takes nothing."""
    said = sent(session)
    assert session.closing
    assert not session.half
    assert ask(session, "sim.stats", STATS, msgid=99) == []
    session.notify("server.event", ServerEvent(kind="shutdown", reason="tired"))
    session.close(ServiceError(ErrorCode.INTERNAL, "again"))
    session.too_slow()
    assert session.take_output() == b""
    return said


@pytest.mark.parametrize("begin", [b"", b"\x94\x00", b"\x94\x01\x05"])
def test_bad_bytes_end_it(session, begin):
    list(session.receive(begin + b"\xc1"))
    ((name, ((code, _, data),)),) = ended(session)
    assert (name, code, data, session.errors) == (SERVER_ERROR, 100, {}, 1)


def test_the_error_answers_the_bad_request_if_its_msgid_is_known(session):
    list(session.receive(b"\x94\x00\x07\xa1m\xc0"))
    ((msgid, (code, *_), result),) = ended(session)
    assert (msgid, code, result) == (7, 100, None)


def test_but_not_another_request_that_waits_under_that_msgid(session):
    (call,) = ask(session, "sim.stats", STATS, msgid=7)
    list(session.receive(b"\x94\x00\x07\xa1m\xc0"))
    session.answer(call, b"\xc0")
    ((name, _),) = ended(session)
    assert (name, session.in_flight) == (SERVER_ERROR, 0)


def test_a_msgid_twice_ends_it(session):
    (call,) = ask(session, "sim.stats", STATS)
    assert ask(session, "sim.stats", STATS) == []
    session.fail(call, ServiceError(ErrorCode.STORE, "full"))
    ((name, ((code, text, _),)),) = ended(session)
    assert (name, code, session.untold) == (SERVER_ERROR, 100, 1)
    assert "msgid 1 is in use" in text


def test_an_answer_that_nobody_asked_for_ends_it(session):
    list(session.receive(encode_response(3, None)))
    ((name, ((code, text, _),)),) = ended(session)
    assert (name, code) == (SERVER_ERROR, 100)
    assert "asks nothing" in text


@pytest.mark.parametrize("bad", [encode_response(3, None), encode_request(2, "sim.stats", [STATS])])
def test_what_was_refused_is_not_answered_again_when_the_end_comes_in_the_same_bytes(session, bad):
    ask(session, "sim.stats", STATS, msgid=2)
    list(session.receive(encode_request(1, "nope", []) + bad + encode_request(4, "nope", [])))
    assert [said[0] for said in ended(session)] == [1, SERVER_ERROR]


def test_calls_before_the_bad_bytes_are_carried_out(session):
    calls = list(
        session.receive(encode_request(1, "sim.stats", [STATS]) + b"\xc1" + encode_request(2, "sim.stats", [STATS]))
    )
    assert [call.msgid for call in calls] == [1]
    session.answer(calls[0], b"\xc0")
    assert [said[0] for said in ended(session)] == [SERVER_ERROR]


def test_half_a_message_may_be_too_slow(session):
    whole = encode_request(7, "sim.stats", [STATS])
    (call,) = list(session.receive(whole + whole[:-1]))
    assert (session.half, session.requests) == (True, 1)
    session.answer(call, b"\xc0")
    session.take_output()
    session.too_slow()
    ((msgid, (code, text, _), _),) = ended(session)
    assert (msgid, code) == (7, 103)
    assert "5 s" in text


def test_closing_without_an_error_says_nothing(session):
    session.close()
    assert ended(session) == []


def test_too_long_and_too_deep(session):
    list(session.receive(encode_request(1, "sim.stats", ["x" * LIMITS.message_bytes_max])))
    assert ended(session)[0].error[0] == ErrorCode.TOO_LARGE
    other = ServerSession(LIMITS, token_needed=True)
    list(other.receive(b"\x94\x00\x01\xa1m" + b"\x91" * 20))
    assert ended(other)[0].error[0] == ErrorCode.TOO_DEEP
