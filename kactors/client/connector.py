"""The Trio client's connection: kept, lost, made again; any number of tasks ask over it."""

from __future__ import annotations

import math
import ssl
from typing import Any, TypeVar

import trio

from kactors.client.dial import CONNECT_S, READ_BYTES
from kactors.client.errors import ServiceLostError
from kactors.client.feeds import Feed
from kactors.client.hub import Hub
from kactors.client.line import Line
from kactors.client.plans import Done, Plan, Sleep, resume
from protocols.service.base import Params
from protocols.service.errors import ServiceError

T = TypeVar("T")

Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]


class Connector(Line):
    """Keeps the connection and carries out plans. Cancelling who waits for an answer harms nobody else."""

    def __init__(self, hub: Hub, tls: ssl.SSLContext | None, reconnect_s: float) -> None:
        super().__init__(hub, tls, reconnect_s)
        self._outbox: trio.MemorySendChannel[bytes] | None = None
        self._waiting: dict[int, _Waiting] = {}
        self._over: ServiceLostError | ServiceError | None = None
        self._news = trio.Event()

    # --- plans -------------------------------------------------------------------------------------------------------

    async def carry_out(self, plan: Plan[T]) -> T:
        """Do what a plan says, and return its result."""
        try:
            step = resume(plan)
            while not isinstance(step, Done):
                if isinstance(step, Sleep):
                    await trio.sleep(step.seconds)
                    step = resume(plan)
                else:
                    step = resume(plan, await self._outcome(step.method, step.params))
        finally:
            plan.close()
        return step.value

    def tell(self, method: str, params: Params) -> None:
        """Send what wants no answer, if there is a connection."""
        if self._outbox is not None:
            self._outbox.send_nowait(self.hub.notification(method, params))

    async def news(self) -> None:
        """Wait until anything has come, or nothing will."""
        await self._news.wait()

    async def _outcome(self, method: str, params: Params | None) -> Any:
        """Ask as soon as there is a connection; return the answer, or the LostError or ServiceError instead of it."""
        while self._outbox is None:
            if self._over is not None:
                raise self._over
            await self.news()
        try:
            msgid, data = self.hub.request(method, params)
        except ServiceError as error:
            return error
        waits_here = self._waiting
        waiting = waits_here[msgid] = _Waiting()
        self._outbox.send_nowait(data)
        try:
            await waiting.done.wait()
        finally:
            waits_here.pop(msgid, None)
        return waiting.outcome

    def _spread(self) -> None:
        self._news.set()
        self._news = trio.Event()

    # --- the connection ----------------------------------------------------------------------------------------------

    async def dial(self, patience_s: float) -> Stream:
        """Connect and say hello; try again for a while.

        Raises:
            ServiceLostError: nobody answers.
            ServiceError: the service does not want us.
        """
        error: Exception = ConnectionResetError("the connection was closed")
        for wait_s in self.hub.attempts(patience_s):
            await trio.sleep(wait_s)
            try:
                with trio.fail_after(CONNECT_S):
                    return await self._meet()
            except trio.TooSlowError:
                error = TimeoutError(f"no answer within {CONNECT_S:g} s")
            except (OSError, trio.BrokenResourceError) as refused:
                error = refused
        raise self.hub.absent(error, patience_s) from error

    async def _meet(self) -> Stream:
        stream = await self._connect()
        try:
            msgid, data = self.hub.begin()
            await stream.send_all(data)
            while True:
                for answer in self.hub.receive(await _some(stream)):
                    if answer.msgid == msgid:
                        self.hub.met(answer.outcome)
                        return stream
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise

    async def _connect(self) -> Stream:
        address = self.hub.address
        if address.kind == "unix":
            return await trio.open_unix_socket(address.path)
        stream = await trio.open_tcp_stream(address.host, address.port)
        if self._tls is None:
            return stream
        return trio.SSLStream(stream, self._tls, server_hostname=address.host, https_compatible=True)

    async def keep(self, stream: Stream) -> None:
        """Converse, and connect again whenever the connection is lost, until that takes too long."""
        try:
            while True:
                await self._converse(stream)
                stream = await self.dial(self._reconnect_s)
        except (ServiceLostError, ServiceError) as error:
            self._over = error
            self.hub.give_up(error)
            self._spread()

    async def _converse(self, stream: Stream) -> None:
        """Send and receive until the connection is lost."""
        self._waiting = {}
        self._outbox, output = trio.open_memory_channel[bytes](math.inf)
        self._spread()
        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(_send, stream, output)
            for feed in self.hub.feeds:
                nursery.start_soon(self._attach, feed)
            await self._receive(stream)
            nursery.cancel_scope.cancel()

    async def _receive(self, stream: Stream) -> None:
        try:
            while True:
                for answer in self.hub.receive(await _some(stream)):
                    if waiting := self._waiting.get(answer.msgid):
                        waiting.end(answer.outcome)
                self._spread()
        except (trio.BrokenResourceError, OSError):
            self._outbox = None
            error = self.hub.lost()
            for waiting in self._waiting.values():
                waiting.end(error)

    async def _attach(self, feed: Feed) -> None:
        await self.carry_out(feed.attach())
        self.hub.pass_on()
        self._spread()


class _Waiting:
    """Somebody who waits for an answer."""

    def __init__(self) -> None:
        self.done = trio.Event()
        self.outcome: Any = None

    def end(self, outcome: Any) -> None:
        self.outcome = outcome
        self.done.set()


async def _some(stream: Stream) -> bytes:
    """Return bytes as they come; the end is an error like any other."""
    data = await stream.receive_some(READ_BYTES)
    if not data:
        raise ConnectionResetError("the connection was closed")
    return bytes(data)


async def _send(stream: Stream, output: trio.MemoryReceiveChannel[bytes]) -> None:
    """Send what is asked for, here alone: a task that asks may be cancelled, and half a request would be the end."""
    try:
        async for data in output:
            await stream.send_all(data)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return  # who receives hears of it too
