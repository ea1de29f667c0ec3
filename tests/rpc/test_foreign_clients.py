"""The bytes of clients that nobody here wrote are understood, and they understand what is answered."""

import asyncio

import pytest
from aio_msgpack_rpc import Client as AioClient
from aio_msgpack_rpc.error import RPCResponseError
from pynvim.msgpack_rpc.async_session import AsyncSession
from pynvim.msgpack_rpc.msgpack_stream import MsgpackStream

from kactors.rpc.codec import pack
from kactors.rpc.session import ServerSession
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.events import ServerEvent
from tests.rpc.frames import LIMITS

NAME = "zażółć " * 10  # longer than a short string, and not ASCII


@pytest.fixture
def session():
    return ServerSession(LIMITS, token_needed=False)


class Pipe:
    """What both clients write into; every request is answered with its own params."""

    def __init__(self, session, hear):
        self.session, self.hear = session, hear
        self.loop = self

    def write(self, data):
        for call in self.session.receive(data):
            if call.method.name == "sim.delete":
                self.session.fail(call, ServiceError(ErrorCode.UNKNOWN_SESSION, "no such session", {"session": NAME}))
            else:
                self.session.answer(call, pack({"name": call.method.name, **call.params.model_dump(mode="json")}))
        self.hear(self.session.take_output())

    send = write

    def close(self):
        pass


def test_pynvim(session):
    told, answers, said = [], [], []
    stream = MsgpackStream(Pipe(session, said.append))
    client = AsyncSession(stream)
    stream._message_cb = client._on_message
    client._notification_cb = lambda *event: told.append(event)
    for method, params in (("hello", [{"client": NAME}]), ("sim.delete", [{"session": "s1"}]), ("nope", [])):
        client.request(method, params, lambda *answer: answers.append(answer))
    stream._on_data(b"".join(said))
    hello, delete, nope = answers
    assert hello == (None, {"name": "hello", "client": NAME, "token": None})
    assert delete == ([202, "no such session", {"session": NAME}], None)
    assert nope[0][0] == ErrorCode.UNKNOWN_METHOD
    client.notify("sim.delete", [{"session": "s1"}])
    assert session.untold == 1
    session.notify("server.event", ServerEvent(kind="shutdown", reason=NAME))
    stream._on_data(session.take_output())
    assert told == [("server.event", [{"kind": "shutdown", "reason": NAME}])]


def test_aio_msgpack_rpc(session):
    async def converse():
        reader = asyncio.StreamReader()
        pipe = Pipe(session, reader.feed_data)
        client = AioClient(reader, pipe, loop=asyncio.get_running_loop())
        assert await client.call("hello", {"client": NAME}) == {"name": "hello", "client": NAME, "token": None}
        with pytest.raises(RPCResponseError) as caught:
            await client.call("sim.delete", {"session": "s1"})
        assert caught.value.args == ([202, "no such session", {"session": NAME}],)
        with pytest.raises(RPCResponseError, match="there is no method"):
            await client.call("nope")
        return await asyncio.gather(*(client.call("sim.list", {"limit": limit}) for limit in (1, 2)))

    assert [answer["limit"] for answer in asyncio.run(converse())] == [1, 2]
    assert (session.closing, session.in_flight) == (False, 0)
