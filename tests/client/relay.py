"""A relay between a client and a service, which loses a request or its answer, and the connection with it."""

from contextlib import asynccontextmanager

import pytest
import trio

LOSSES = pytest.mark.parametrize("what", ["request", "answer"])
"""What is lost of a conversation."""


class Relay:
    """``lose("request")``: the next bytes of a client are not passed on; ``lose("answer")``: the service's are not."""

    def __init__(self, target):
        self._target = str(target)
        self._lost = None
        self.connections = 0

    def lose(self, what):
        self._lost = what

    async def serve(self, stream):
        self.connections += 1
        try:
            async with stream, await trio.open_unix_socket(self._target) as service, trio.open_nursery() as nursery:
                nursery.start_soon(self._pass_on, service, stream, "answer", nursery.cancel_scope)
                await self._pass_on(stream, service, "request", nursery.cancel_scope)
        except OSError:
            await trio.aclose_forcefully(stream)

    async def _pass_on(self, source, target, what, conversation):
        try:
            while data := await source.receive_some(1 << 16):
                if self._lost == what:
                    self._lost = None
                    break
                await target.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        conversation.cancel()


@asynccontextmanager
async def relaying(target, path):
    relay = Relay(target)
    listening = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
    await listening.bind(str(path))
    listening.listen()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, relay.serve, [trio.SocketListener(listening)])
        yield relay
        nursery.cancel_scope.cancel()
