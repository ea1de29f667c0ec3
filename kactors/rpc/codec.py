"""MessagePack-RPC messages and their bytes.

``[0, msgid, method, params]`` asks, ``[1, msgid, error, result]`` answers, ``[2, method, params]`` tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgpack

from kactors.rpc.framing import DEPTH_MAX, Frame, malformed
from protocols.service.errors import ErrorCode, ServiceError

MSGID_MAX = 2**32 - 1
REQUEST, RESPONSE, NOTIFICATION = 0, 1, 2
_HEAD_BYTES = 16
"""A message's array, type and msgid are never longer."""


class Request(NamedTuple):
    """A question: the answer bears its msgid."""

    msgid: int
    method: str
    params: list[Any]


class Response(NamedTuple):
    """An answer: ``error`` is None, or ``result`` means nothing."""

    msgid: int
    error: Any
    result: Any


class Notification(NamedTuple):
    """Something told, which is not answered."""

    method: str
    params: list[Any]


RpcMessage = Request | Response | Notification


class Decoder:
    """Makes messages of bytes, however they are cut into pieces.

    After an error it takes nothing more: where the next message would begin is not known.

    Args:
        message_bytes_max: how long one message may be.
        depth_max: how many arrays and maps may be inside each other, the message's own array counted; up to 256.
    """

    def __init__(self, message_bytes_max: int, depth_max: int) -> None:
        if not 1 <= depth_max <= DEPTH_MAX:
            raise ValueError(f"depth_max is {depth_max}, and must be 1 to {DEPTH_MAX}")
        self._limits = (message_bytes_max, depth_max)
        self._frame = Frame(*self._limits)
        self._waiting: bytes | bytearray = b""
        self._broken = False

    @property
    def half(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._waiting) and not self._broken

    @property
    def msgid(self) -> int | None:
        """The msgid of the request that has begun and not ended, or at which decoding failed; None: unknown."""
        return _msgid(bytes(self._waiting[:_HEAD_BYTES]))

    def feed(self, data: bytes) -> Iterator[RpcMessage]:
        """Take bytes, and yield the messages that they complete; use all of them up before feeding again.

        Messages that came whole before a bad one are yielded first.

        Raises:
            ServiceError: MALFORMED, TOO_LARGE or TOO_DEEP, at the bad message and whenever fed again.
        """
        if self._broken:
            raise malformed("an earlier message was bad, so nobody knows where the next one begins")
        if self._waiting:
            # A bytearray grows in place: a long message in many pieces is not copied for each.
            waiting = self._waiting if isinstance(self._waiting, bytearray) else bytearray(self._waiting)
            waiting += data
            self._waiting = waiting
        else:
            self._waiting = data
        return self._messages(self._waiting)

    def _messages(self, data: bytes | bytearray) -> Iterator[RpcMessage]:
        start = 0
        try:
            while start < len(data) and self._frame.walk(data, start):
                end = start + self._frame.length
                message = _message(data[start:end])
                self._frame = Frame(*self._limits)
                start = end
                yield message
        except ServiceError:
            self._broken = True
            raise
        finally:
            # What is bad is kept no longer than its head, for `msgid`.
            self._waiting = data[start : start + _HEAD_BYTES] if self._broken else data[start:] if start else data


def _message(data: bytes | bytearray) -> RpcMessage:
    """Build one message.

    Raises:
        ServiceError: MALFORMED.
    """
    try:
        value = msgpack.unpackb(data, raw=False, strict_map_key=True)
    except UnicodeDecodeError as error:
        raise malformed("a string is not UTF-8") from error
    except ValueError as error:
        # Walked already, so this is left: ints and the like as keys, whose hashes a client could choose to collide.
        raise malformed("a map has a key that is not a string") from error
    if type(value) is list and value and type(value[0]) is int:  # in Python, True is 1 as well
        match value:
            case [0, msgid, str(method), list(params)] if _is_msgid(msgid):
                return Request(msgid, method, params)
            case [1, msgid, error, result] if _is_msgid(msgid):
                return Response(msgid, error, result)
            case [2, str(method), list(params)]:
                return Notification(method, params)
    raise malformed("a message is [0, msgid, method, params], [1, msgid, error, result] or [2, method, params]")


def _is_msgid(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MSGID_MAX


def _msgid(head: bytes) -> int | None:
    """Return the msgid of the request that begins so, or None."""
    unpacker = msgpack.Unpacker(max_buffer_size=_HEAD_BYTES)
    unpacker.feed(head)
    try:
        count, kind, msgid = unpacker.read_array_header(), unpacker.unpack(), unpacker.unpack()
    except (msgpack.UnpackException, ValueError):
        return None
    is_request = count == len(Request._fields) + 1 and type(kind) is int and kind == REQUEST
    return msgid if is_request and _is_msgid(msgid) else None


# --- encoding ---------------------------------------------------------------------------------------------------------


def pack(value: Any, code: ErrorCode = ErrorCode.INTERNAL) -> bytes:
    """Pack what ``model_dump(mode="json")`` gives: None, bool, int up to 64 bit, float, str, list, dict.

    Raises:
        ServiceError: ``code``, if there is something else in it.
    """
    try:
        return msgpack.packb(value, use_bin_type=True)
    except (TypeError, ValueError, OverflowError) as error:
        what = "a whole number longer than 64 bits" if isinstance(error, OverflowError) else error
        raise ServiceError(code, f"there is something in it that MessagePack cannot say: {what}") from error


def encode_request(msgid: int, method: str, params: Sequence[Any]) -> bytes:
    """Return the bytes of a question; whoever asks answers for what is in it."""
    return pack((REQUEST, msgid, method, params), ErrorCode.INVALID_PARAMS)


def encode_response(msgid: int, result: Any) -> bytes:
    """Return the bytes of an answer."""
    return pack((RESPONSE, msgid, None, result))


def encode_packed_response(msgid: int, packed: bytes) -> bytes:
    """Return the bytes of an answer whose result is packed already."""
    return b"\x94\x01" + pack(msgid) + b"\xc0" + packed


def encode_error(msgid: int, error: ServiceError) -> bytes:
    """Return the bytes of an answer that says why there is none."""
    return pack((RESPONSE, msgid, error.to_wire(), None))


def encode_notification(method: str, params: Sequence[Any]) -> bytes:
    """Return the bytes of something told."""
    return pack((NOTIFICATION, method, params))
