"""The server's side of one connection: what is asked, what may be answered, and when it is over. No I/O.

Nothing here awaits: bytes come in by ``receive``, and what is to be sent waits for ``take_output``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kactors.rpc import codec
from kactors.rpc.codec import Decoder, Request, Response
from kactors.rpc.framing import malformed
from kactors.rpc.params import validate
from protocols.service.base import Params, Reply
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.methods import METHODS, Method
from protocols.service.server import Limits

SERVER_ERROR = "server.error"
"""Tells of an error that belongs to no request: ``[2, "server.error", [[code, message, data]]]``."""


class Call:
    """One thing that a client wants, checked.

    Attributes:
        msgid: what its answer bears; None for a notification, which is carried out and not answered.
        method: which.
        params: with what; an instance of ``method.params``.
    """

    __slots__ = ("method", "msgid", "params")

    def __init__(self, msgid: int | None, method: Method, params: Params) -> None:
        self.msgid = msgid
        self.method = method
        self.params = params

    def __repr__(self) -> str:
        return f"Call({self.msgid}, {self.method.name}, {self.params!r})"


class ServerSession:
    """One connection.

    A call is under way from when ``receive`` returned it until ``answer`` or ``fail``, notifications too. Answers may
    come in any order. While a token is needed, only hello is called; a client has to wait for hello's answer.

    After a protocol error ``closing`` is true: send what ``take_output`` gives, and close. Calls that came before it
    are still carried out, as if they had come a moment earlier, but what they answer goes nowhere.

    Args:
        limits: message_bytes_max, depth_max and requests_in_flight_max are those that matter here.
        token_needed: whether hello has to succeed first.
    """

    def __init__(self, limits: Limits, token_needed: bool) -> None:
        self._limits = limits
        self._decoder = Decoder(limits.message_bytes_max, limits.depth_max)
        self._hello_first = token_needed
        self._under_way: set[Call] = set()
        self._msgids: set[int] = set()
        self._output: list[bytes] = []
        self.output_bytes = 0
        """How many bytes wait for ``take_output``."""
        self.closing = False
        """Whether the connection ends: nothing more is accepted, and nothing is put into the output."""
        self.closed_by: ErrorCode | None = None
        """The protocol error that ended it."""
        self.requests = 0
        """Requests and notifications that came, good or bad."""
        self.errors = 0
        """Errors that the client was told of."""
        self.untold = 0
        """Failures that nobody was told of, as they are a notification's, or came after the end."""

    @property
    def half(self) -> bool:
        """Whether a message has begun and not ended; if it stays so for ``half_message_s``: ``too_slow``.

        It is the same message for as long as ``requests`` does not change.
        """
        return self._decoder.half and not self.closing

    @property
    def in_flight(self) -> int:
        """How many calls are under way."""
        return len(self._under_way)

    def authenticated(self) -> None:
        """Let everything be called: hello has succeeded."""
        self._hello_first = False

    def receive(self, data: bytes) -> Iterator[Call]:
        """Take bytes as they came, and yield what is to be done, in order; use it up before the next bytes.

        What cannot be done is answered here. A call that is answered before the next one is asked for has its answer
        before whatever the rest of the bytes leads to, and does not count as in flight any more.
        """
        messages = () if self.closing else self._decoder.feed(data)
        try:
            for message in messages:
                call = self._take(message)
                if call is not None:
                    yield call
                if self.closing:
                    return
        except ServiceError as error:
            self.close(error, self._decoder.msgid)

    def too_slow(self) -> None:
        """End the connection of a client that has sent half a message and then nothing."""
        limit_s = self._limits.half_message_s
        text = f"half a message came, and the rest of it did not within {limit_s:g} s"
        self.close(ServiceError(ErrorCode.TOO_SLOW, text), self._decoder.msgid)

    def close(self, error: ServiceError | None = None, msgid: int | None = None) -> None:
        """End the connection.

        Args:
            error: what the client is told last.
            msgid: the request that the error answers. Without one, or if that request is under way (then it would be
                taken for its answer), the error comes as the notification ``server.error``.
        """
        if self.closing:
            return
        self.closed_by = error.code if error else None
        if error and msgid is not None and msgid not in self._msgids:
            self._put_error(msgid, error)
        elif error:
            self.errors += 1
            self._put(codec.encode_notification(SERVER_ERROR, [error.to_wire()]))
        self.closing = True

    def answer(self, call: Call, result: Reply | bytes) -> None:
        """Answer a call.

        Args:
            call: one that ``receive`` returned and that was not answered.
            result: what it asked for; bytes are ``codec.pack`` of its JSON form, made before.

        Raises:
            LookupError: the call is not under way.
        """
        self._end(call)
        if call.msgid is None or self.closing:
            return
        try:
            packed = result if isinstance(result, bytes) else codec.pack(result.model_dump(mode="json"))
        except ServiceError as error:
            self._put_error(call.msgid, error)
        else:
            self._put(codec.encode_packed_response(call.msgid, packed))

    def fail(self, call: Call, error: ServiceError) -> None:
        """Answer a call by why it failed.

        Raises:
            LookupError: the call is not under way.
        """
        self._end(call)
        self._refuse(call.msgid, error)

    def notify(self, name: str, told: Reply) -> None:
        """Tell the client something.

        Args:
            name: one of ``methods.NOTIFICATIONS``.
            told: its one parameter.

        Raises:
            ServiceError: INTERNAL, if it cannot be packed.
        """
        self.notify_packed(codec.encode_notification(name, [told.model_dump(mode="json")]))

    def notify_packed(self, whole: bytes) -> None:
        """Tell the client something that ``codec.encode_notification`` made a message of."""
        if not self.closing:
            self._put(whole)

    def take_output(self) -> bytes:
        """Return what is to be sent, once."""
        output = b"".join(self._output)
        self._output.clear()
        self.output_bytes = 0
        return output

    def _take(self, message: codec.RpcMessage) -> Call | None:
        """Return what a message asks for, or answer why that cannot be, or end the connection."""
        msgid: int | None = None
        match message:
            case Response():
                self.close(malformed(f"an answer to msgid {message.msgid}, but the service asks nothing"))
                return None
            case Request() if message.msgid in self._msgids:
                self.close(malformed(f"msgid {message.msgid} is in use by a request that is not answered yet"))
                return None
            case Request():
                msgid = message.msgid
        self.requests += 1
        try:
            call = Call(msgid, *self._checked(message.method, message.params))
        except ServiceError as error:
            self._refuse(msgid, error)
            return None
        self._under_way.add(call)
        if msgid is not None:
            self._msgids.add(msgid)
        return call

    def _checked(self, name: str, params: list[Any]) -> tuple[Method, Params]:
        """Return what a client asks for.

        Raises:
            ServiceError: HELLO_FIRST, UNKNOWN_METHOD, QUOTA or INVALID_PARAMS.
        """
        if self._hello_first and name != "hello":
            raise ServiceError(ErrorCode.HELLO_FIRST, "say hello with a token first, and wait for its answer")
        method = METHODS.get(name)
        if method is None:
            raise ServiceError(ErrorCode.UNKNOWN_METHOD, f"there is no method {name[:60]!r}; api.info lists them")
        limit = self._limits.requests_in_flight_max
        if len(self._under_way) >= limit:
            text = f"{limit} requests are in flight already; wait for an answer first"
            raise ServiceError(ErrorCode.QUOTA, text, {"limit": "requests_in_flight_max", "value": limit})
        return method, validate(method, params)

    def _end(self, call: Call) -> None:
        if call not in self._under_way:
            raise LookupError(f"{call!r} is not under way: it was answered, or came over another connection")
        self._under_way.remove(call)
        if call.msgid is not None:
            self._msgids.remove(call.msgid)

    def _refuse(self, msgid: int | None, error: ServiceError) -> None:
        if msgid is None or self.closing:
            self.untold += 1
        else:
            self._put_error(msgid, error)

    def _put_error(self, msgid: int, error: ServiceError) -> None:
        self.errors += 1
        try:
            self._put(codec.encode_error(msgid, error))
        except ServiceError:  # of the failure's own text or data; what is left of it can be packed
            text = error.message.encode(errors="backslashreplace").decode()
            self._put(codec.encode_error(msgid, ServiceError(error.code, text)))

    def _put(self, whole: bytes) -> None:
        self._output.append(whole)
        self.output_bytes += len(whole)
