"""The one file that owns sockets: listens, reads, sends and closes. What the bytes mean is decided elsewhere."""

from __future__ import annotations

import math
import os
import socket
import time
from contextlib import AsyncExitStack
from pathlib import Path

import structlog
import trio

from kactors.engine.errors import UsageError
from kactors.rpc.address import Address
from kactors.rpc.session import Call
from kactors.service.connection import Connection, Rules
from kactors.service.handlers import Handlers
from kactors.service.listen import Listening
from kactors.service.metrics import Metrics
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.events import ServerEvent
from protocols.service.server import Limits

READ_BYTES = 1 << 14
TURN_S = 0.002
"""How long one client's pipelined requests are answered before the others have their turn."""
FAREWELL_S = 0.5
"""How long a client that is being closed has to read what it is told last."""
BACKLOG = 512

log = structlog.get_logger(__name__)

Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]
Door = tuple[Address, Rules, trio.abc.Listener[Stream]]


class Server:
    """Everybody who is connected.

    Args:
        handlers: the methods.
        limits: quotas.
        metrics: told of requests and of protocol errors.
    """

    def __init__(self, handlers: Handlers, limits: Limits, metrics: Metrics) -> None:
        self._handlers = handlers
        self._limits = limits
        self._metrics = metrics
        self._connections: set[Connection] = set()

    def __len__(self) -> int:
        return len(self._connections)

    def say_goodbye(self, reason: str) -> None:
        """Tell everybody that the service ends."""
        for connection in self._connections:
            connection.session.notify("server.event", ServerEvent(kind="shutdown", reason=reason))
            connection.session.close()
            connection.flush()

    async def serve(self, stream: Stream, rules: Rules) -> None:
        """Serve one connection until either side has had enough; nothing of it outlives it but its sessions."""
        try:
            if await self._shake_hands(stream):
                await self._serve(stream, rules)
        except Exception:
            # A bug that one client has found is not to end the others' connections.
            log.exception("connection failed")
        finally:
            with trio.move_on_after(FAREWELL_S, shield=True):
                await stream.aclose()

    async def _shake_hands(self, stream: Stream) -> bool:
        """Agree on TLS, where that is spoken; return whether that went well, in the time that half a message has."""
        if isinstance(stream, trio.SSLStream):
            with trio.move_on_after(self._limits.half_message_s) as patience:
                try:
                    await stream.do_handshake()
                except trio.BrokenResourceError:
                    return False
            return not patience.cancelled_caught
        return True

    async def _serve(self, stream: Stream, rules: Rules) -> None:
        connection = Connection(rules, self._limits)
        connections_max = self._limits.connections_max
        if len(self._connections) >= connections_max:
            limit = {"limit": "connections_max", "value": connections_max}
            connection.session.close(ServiceError(ErrorCode.QUOTA, f"there are {connections_max} connections", limit))
            connection.flush()
        self._connections.add(connection)
        try:
            await self._converse(connection, stream)
        finally:
            self._connections.discard(connection)
            self._handlers.leave(connection)

    async def _converse(self, connection: Connection, stream: Stream) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_send, connection, stream, nursery.cancel_scope)
            await self._read(connection, stream, nursery)
            nursery.cancel_scope.deadline = trio.current_time() + FAREWELL_S
            await connection.outbox.below(1)
            nursery.cancel_scope.cancel()

    async def _read(self, connection: Connection, stream: Stream, nursery: trio.Nursery) -> None:
        """Take requests until the client ends, or has to be ended."""
        session = connection.session
        patience_ends = math.inf
        while not session.closing:
            # A client that does not read its answers is not asked for more questions.
            await connection.outbox.below(self._limits.output_bytes_max)
            with trio.move_on_at(patience_ends) as patience:
                data = await _receive(stream)
                if not data:
                    return
            if patience.cancelled_caught:
                session.too_slow()
            else:
                taken = session.requests
                for call in session.receive(data):
                    await self._begin(connection, call, nursery)
                    connection.flush()
                    await self._let_others(connection)
                if not session.half:
                    patience_ends = math.inf
                elif taken != session.requests or patience_ends == math.inf:
                    patience_ends = trio.current_time() + self._limits.half_message_s
            connection.flush()
            connection.turn_began_s = time.perf_counter()
        if session.closed_by is not None:
            self._metrics.protocol_error(int(session.closed_by))

    async def _let_others(self, connection: Connection) -> None:
        """Between two requests: wait where the client does not read, and let others have their turn now and then."""
        if connection.outbox.size > self._limits.output_bytes_max:
            await connection.outbox.below(self._limits.output_bytes_max)
        elif time.perf_counter() - connection.turn_began_s > TURN_S:
            await trio.lowlevel.checkpoint()
            connection.turn_began_s = time.perf_counter()

    async def _begin(self, connection: Connection, call: Call, nursery: trio.Nursery) -> None:
        """Answer at once, or begin a task that will: in the order of the requests, which Trio would not promise."""
        began_s = trio.current_time()
        handler = self._handlers.at_once.get(call.method.name)
        if handler is not None:
            try:
                answer = handler(connection, call.params)
            except ServiceError as error:
                self._fail(connection, call, error, began_s)
                return
            if answer is not None:
                connection.session.answer(call, answer)
                self._metrics.request(call.method.name, 0, trio.current_time() - began_s)
                return
        await nursery.start(self._carry_out, connection, call, began_s)

    async def _carry_out(
        self, connection: Connection, call: Call, began_s: float, *, task_status: trio.TaskStatus[None]
    ) -> None:
        task_status.started()
        try:
            answer = await self._handlers.waiting[call.method.name](connection, call.params)
        except ServiceError as error:
            self._fail(connection, call, error, began_s)
        except Exception as error:
            # One request's bug is no reason to end the connection, let alone the service.
            log.exception("internal error", method=call.method.name)
            self._fail(connection, call, ServiceError(ErrorCode.INTERNAL, f"{type(error).__name__}: {error}"), began_s)
        else:
            connection.session.answer(call, answer)
            self._metrics.request(call.method.name, 0, trio.current_time() - began_s)
        connection.flush()

    def _fail(self, connection: Connection, call: Call, error: ServiceError, began_s: float) -> None:
        connection.session.fail(call, error)
        self._metrics.request(call.method.name, int(error.code), trio.current_time() - began_s)


async def _receive(stream: Stream) -> bytes:
    """Return what has come; nothing when the client is gone, or does not speak TLS where it should."""
    try:
        return bytes(await stream.receive_some(READ_BYTES))
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return b""


async def _send(connection: Connection, stream: Stream, conversation: trio.CancelScope) -> None:
    """Send until nobody reads any more: then there is nobody to work for either."""
    try:
        await connection.outbox.send_all(stream)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        conversation.cancel()


async def open_listeners(listening: Listening, files_root: Path | None, opened: AsyncExitStack) -> list[Door]:
    """Open every listener of a checked plan; return each with the address that it has got.

    Args:
        listening: the plan.
        files_root: what TCP clients' scenarios may name; None: no files.
        opened: closes them, and removes their socket files.

    Raises:
        UsageError: an address is taken or not this machine's.
    """
    doors: list[Door] = []
    for address in listening.addresses:
        tokens = listening.tokens if listening.needs_token(address) else None
        rules = Rules(tokens, files_root, local=address.kind == "unix")
        try:
            listeners = await _listeners(address, opened)
        except OSError as error:
            raise UsageError(f"address {address}: cannot listen there: {error.strerror or error}") from error
        for listener in listeners:
            if address.kind == "unix":
                doors.append((address, rules, listener))
                continue
            bound = Address(address.kind, "", address.host, listener.socket.getsockname()[1])
            if address.kind == "tls" and listening.tls is not None:
                doors.append((bound, rules, trio.SSLListener(listener, listening.tls, https_compatible=True)))
            else:
                doors.append((bound, rules, listener))
    return doors


async def _listeners(address: Address, opened: AsyncExitStack) -> list[trio.SocketListener]:
    if address.kind != "unix":
        listeners = await trio.open_tcp_listeners(address.port, host=address.host, backlog=BACKLOG)
        for listener in listeners:
            opened.push_async_callback(listener.aclose)
        return listeners
    listener = trio.SocketListener(await _unix_socket(address.path))
    opened.callback(Path(address.path).unlink, missing_ok=True)
    opened.push_async_callback(listener.aclose)
    return [listener]


async def _unix_socket(path: str) -> trio.socket.SocketType:
    """Listen at a socket file that only its owner may use, from the moment at which it is there."""
    listener = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        await listener.bind(path)
    except BaseException:
        listener.close()
        raise
    finally:
        os.umask(before)
    listener.listen(BACKLOG)
    return listener
