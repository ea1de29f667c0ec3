"""The client's side of a connection: its requests are those that the server understands, and it hears what is said."""

import pytest

from kactors.rpc.client import Answer, ClientSession, Told
from kactors.rpc.codec import (
    MSGID_MAX,
    Request,
    encode_error,
    encode_notification,
    encode_request,
    encode_response,
    pack,
)
from kactors.rpc.session import ServerSession
from protocols.scenario import Scenario
from protocols.service.commands import InjectFault, SetBound
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.sessions import CreateParams, InjectParams, SessionParams, SetBoundParams
from tests.rpc.frames import LIMITS, decoded


@pytest.fixture
def client():
    return ClientSession()


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("api.info", None),
        ("sim.stats", SessionParams(session="s1")),
        ("sim.create", CreateParams(scenario=Scenario(cpus=2))),
        ("sim.inject", InjectParams(session="s1", injection=InjectFault(cpu=1, address=4096))),
        ("sim.set_bound", SetBoundParams(session="s1", bounds=SetBound(ipi_wait_max_ns=None))),
    ],
)
def test_a_server_understands_a_request_as_it_was_meant(client, method, params):
    server = ServerSession(LIMITS, token_needed=False)
    msgid, asked = client.request(method, params)
    (call,) = list(server.receive(asked))
    if params:
        assert call.params == params
        assert call.params.model_dump(exclude_unset=True) == params.model_dump(exclude_unset=True)
    server.answer(call, pack({"a": 1}))
    assert client.waiting == {msgid: method}
    assert client.receive(server.take_output()) == [Answer(msgid, {"a": 1})]
    assert client.waiting == {}
    (call,) = list(server.receive(client.notification(method, params)))
    assert call.msgid is None


def failure(client, error):
    msgid, _ = client.request("sim.stats", SessionParams(session="s1"))
    (answer,) = client.receive(
        encode_error(msgid, error) if isinstance(error, ServiceError) else pack([1, msgid, error, 0])
    )
    assert isinstance(answer.outcome, ServiceError)
    return answer.outcome


def test_a_failure_comes_back_as_it_was(client):
    error = failure(client, ServiceError(ErrorCode.QUOTA, "enough", {"limit": "x"}))
    assert (error.code, error.message, error.data) == (ErrorCode.QUOTA, "enough", {"limit": "x"})


@pytest.mark.parametrize("wire", ["bad", [999, "new", {}], [True, "x", {}], [300, "x"], [300, 1, {}], False, 0, {}])
def test_a_failure_of_another_form_is_kept(client, wire):
    error = failure(client, wire)
    assert (error.code, error.data) == (ErrorCode.INTERNAL, {"error": wire})


def test_it_is_told_something(client):
    told = client.receive(
        encode_notification("sim.event", [{"number": 1}])
        + encode_notification("server.error", [ServiceError(ErrorCode.TOO_SLOW, "late").to_wire()])
    )
    error = {"code": 103, "message": "late", "data": {}}
    assert told == [Told("sim.event", {"number": 1}), Told("server.error", error)]


@pytest.mark.parametrize(
    "said",
    [
        encode_response(5, None),
        encode_request(0, "sim.stats", []),
        encode_notification("sim.event", []),
        encode_notification("sim.event", [1]),
        b"HTTP/1.1 400 Bad Request",
    ],
)
def test_what_no_such_service_says_is_refused(client, said):
    with pytest.raises(ServiceError) as caught:
        client.receive(said)
    assert caught.value.code == ErrorCode.MALFORMED


def test_msgids_begin_anew_and_leave_out_those_that_wait(client):
    client.request("api.info")
    client._next_msgid = MSGID_MAX
    msgids = [client.request("api.info") for _ in range(2)]
    assert [msgid for msgid, _ in msgids] == [MSGID_MAX, 1]
    assert decoded(msgids[0][1]) == [Request(MSGID_MAX, "api.info", [])]
