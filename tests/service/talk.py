"""A client as small as can be: what is asked, what is answered and what is told, as plain data."""

from contextlib import asynccontextmanager

import trio

from kactors.rpc.address import Address
from kactors.rpc.client import Answer, ClientSession
from kactors.rpc.codec import encode_request
from kactors.service.server import serve
from kactors.service.settings import LIMITS, Settings
from protocols.service.errors import ServiceError

EBIZZY = {"workload": "ebizzy", "machine": "small", "cpus": 2, "threads": 2, "until_ns": 2_000_000}
ENDLESS = EBIZZY | {"until_ns": None}


class Talk:
    """One connection. ``told`` has every notification so far."""

    def __init__(self, stream):
        self.stream = stream
        self.told = []
        self._session = ClientSession()
        self._outcomes = {}
        self._changed = trio.Event()
        self.closed = False

    async def read(self):
        try:
            while data := await self.stream.receive_some(1 << 16):
                for heard in self._session.receive(bytes(data)):
                    if isinstance(heard, Answer):
                        self._outcomes[heard.msgid] = heard.outcome
                    else:
                        self.told.append((heard.name, heard.payload))
                self._wake()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        self.closed = True
        self._wake()

    async def begin(self, method, **params):
        msgid, _ = self._session.request(method)
        await self.stream.send_all(encode_request(msgid, method, [params]))
        return msgid

    def expect(self, *msgids):
        """Await answers to requests whose bytes the test sends itself."""
        self._session.waiting.update(dict.fromkeys(msgids, "any"))

    async def end(self, msgid):
        while msgid not in self._outcomes:
            assert not self.closed, "the service closed the connection before it answered"
            await self._changed.wait()
        outcome = self._outcomes.pop(msgid)
        if isinstance(outcome, ServiceError):
            raise outcome
        return outcome

    async def ask(self, method, **params):
        return await self.end(await self.begin(method, **params))

    async def hear(self, wanted):
        """Wait until something was told for which ``wanted(name, payload)`` is true; return the payload."""
        while True:
            for name, payload in self.told:
                if wanted(name, payload):
                    return payload
            assert not self.closed, "the service closed the connection before it told"
            await self._changed.wait()

    def _wake(self):
        self._changed.set()
        self._changed = trio.Event()


@asynccontextmanager
async def talking(path):
    async with await trio.open_unix_socket(str(path)) as stream, trio.open_nursery() as nursery:
        talk = Talk(stream)
        nursery.start_soon(talk.read)
        yield talk
        nursery.cancel_scope.cancel()


def settings(folder, **changes):
    limits = LIMITS.model_copy(update=changes.pop("limits", {}))
    address = Address("unix", str(folder / "k.sock"))
    return Settings(
        **({"addresses": (address,), "store": folder / "k.sqlite", "workers": 1, "limits": limits} | changes)
    )


@asynccontextmanager
async def serving(folder, **changes):
    """A service in this process, with one worker process; ended on leaving."""
    async with trio.open_nursery() as nursery:
        bound = await nursery.start(serve, settings(folder, **changes))
        yield bound
        nursery.cancel_scope.cancel()
