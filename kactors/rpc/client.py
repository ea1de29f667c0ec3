"""A client's side of one connection, without I/O: questions out, answers and what is told in."""

from __future__ import annotations

from typing import Any, NamedTuple

from kactors.rpc import codec
from kactors.rpc.codec import Decoder, Notification, Request, Response
from kactors.rpc.framing import malformed
from kactors.rpc.session import SERVER_ERROR
from protocols.service.base import Params
from protocols.service.errors import ErrorCode, ServiceError

MESSAGE_BYTES_MAX = 64 * 2**20
DEPTH_MAX = 64
_CODES = frozenset(map(int, ErrorCode))


class Answer(NamedTuple):
    """What came back: the result as plain data, or why there is none."""

    msgid: int
    outcome: Any | ServiceError


class Told(NamedTuple):
    """A notification and its one parameter. ``server.error`` has the keys code, message and data."""

    name: str
    payload: dict[str, Any]


class ClientSession:
    """One connection.

    Args:
        message_bytes_max: how long an answer may be.
    """

    def __init__(self, message_bytes_max: int = MESSAGE_BYTES_MAX) -> None:
        self._decoder = Decoder(message_bytes_max, DEPTH_MAX)
        self._next_msgid = 0
        self.waiting: dict[int, str] = {}
        """The methods that were asked and not answered, by msgid."""

    def request(self, method: str, params: Params | None = None) -> tuple[int, bytes]:
        """Return a new request's msgid and bytes. Keys that were not given are not sent."""
        msgid = self._next_msgid
        while msgid in self.waiting:  # after 2**32 requests the numbers begin anew, and an old one may still wait
            msgid = (msgid + 1) % (codec.MSGID_MAX + 1)
        self._next_msgid = (msgid + 1) % (codec.MSGID_MAX + 1)
        self.waiting[msgid] = method
        return msgid, codec.encode_request(msgid, method, _plain(params))

    def notification(self, method: str, params: Params | None = None) -> bytes:
        """Return the bytes of a request that wants no answer."""
        return codec.encode_notification(method, _plain(params))

    def receive(self, data: bytes) -> list[Answer | Told]:
        """Take bytes as they came, and return what they complete.

        Raises:
            ServiceError: MALFORMED, TOO_LARGE or TOO_DEEP: this is no such service, and the connection is of no use.
        """
        return [self._heard(message) for message in self._decoder.feed(data)]

    def _heard(self, message: codec.RpcMessage) -> Answer | Told:
        match message:
            case Response(msgid, error, result):
                if self.waiting.pop(msgid, None) is None:
                    raise malformed(f"an answer to msgid {msgid}, which was not asked")
                return Answer(msgid, result if error is None else _service_error(error))
            case Notification(name, [list(error)]) if name == SERVER_ERROR:
                failure = _service_error(error)
                return Told(name, {"code": int(failure.code), "message": failure.message, "data": failure.data})
            case Notification(name, [dict(payload)]):
                return Told(name, payload)
            case Notification(name, _):
                raise malformed(f"{name!r} is told with one map")
            case Request(_, name, _):
                raise malformed(f"the service asks for {name!r}, but clients are not asked")


def _plain(params: Params | None) -> list[Any]:
    return [] if params is None else [params.model_dump(mode="json", exclude_unset=True)]


def _service_error(error: Any) -> ServiceError:
    """Return what the service meant by the error of a response; what has another form is kept in ``data.error``."""
    match error:
        case [int(code), str(message), dict(data)] if code in _CODES:
            return ServiceError(ErrorCode(code), message, data)
        case [int(code), str(message), dict(data)]:
            text = f"{message} (error {code}, which this client does not know: the service is newer)"
            return ServiceError(ErrorCode.INTERNAL, text, {**data, "error": error})
    return ServiceError(
        ErrorCode.INTERNAL, f"an error of a form that is not the service's: {error!r}"[:500], {"error": error}
    )
