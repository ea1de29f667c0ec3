"""A client's conversation with the service without I/O: hello, requests, answers, events to their subscriptions."""

from __future__ import annotations

from collections import deque
from typing import Any

from pydantic import ValidationError

from kactors.client.errors import LostError, ServiceLostError
from kactors.client.feeds import EARLY_MAX, Feed
from kactors.rpc.address import Address
from kactors.rpc.client import Answer, ClientSession, Told
from kactors.rpc.session import SERVER_ERROR
from protocols.service.base import Params
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.events import SimEvent
from protocols.service.server import Hello, HelloParams

FIRST_WAIT_S, WAIT_S_MAX = 0.05, 1.0


class Hub:
    """What outlives a connection.

    Args:
        address: of the service, to name it.
        hello: who we are. The client's name must be the same after a reconnect: keys belong to it.

    Attributes:
        service: what the service said of itself last.
        feeds: the subscriptions.
    """

    def __init__(self, address: Address, hello: HelloParams) -> None:
        self.address = address
        self.service: Hello | None = None
        self.feeds: list[Feed] = []
        self._hello = hello
        self._session = ClientSession()
        self._refusal: ServiceError | None = None
        self._goodbye = ""
        self._early: deque[SimEvent] = deque(maxlen=EARLY_MAX)

    # --- a connection ------------------------------------------------------------------------------------------------

    def begin(self) -> tuple[int, bytes]:
        """Begin a conversation over a new connection; return hello's msgid and bytes."""
        self._session = ClientSession()
        self._refusal = None
        self._goodbye = ""
        self._early.clear()
        return self._session.request("hello", self._hello)

    def met(self, outcome: Any | ServiceError) -> None:
        """Take hello's answer.

        Raises:
            ServiceError: the service does not want us.
            ServiceLostError: this is no such service.
        """
        if isinstance(outcome, ServiceError):
            raise outcome
        try:
            self.service = Hello.model_validate(outcome)
        except ValidationError as error:
            raise self.stranger("its hello is not kactors'") from error

    def met_service(self) -> Hello:
        """Return what the service said of itself last.

        Raises:
            LookupError: nobody was met yet.
        """
        if self.service is None:
            raise LookupError(f"{self.address} has not answered yet")
        return self.service

    def request(self, method: str, params: Params | None) -> tuple[int, bytes]:
        """Return a request's msgid and bytes.

        Raises:
            ServiceError: TOO_LARGE, which would cost the connection.
        """
        msgid, data = self._session.request(method, params)
        if self.service is not None and len(data) > self.service.limits.message_bytes_max:
            self._session.waiting.pop(msgid)
            message = f"{method} has {len(data)} bytes; {self.address} takes {self.service.limits.message_bytes_max}"
            raise ServiceError(ErrorCode.TOO_LARGE, message)
        return msgid, data

    def notification(self, method: str, params: Params) -> bytes:
        """Return the bytes of a request that wants no answer."""
        return self._session.notification(method, params)

    def receive(self, data: bytes) -> list[Answer]:
        """Take bytes as they came, pass events on, and return the answers.

        Raises:
            ServiceLostError: this is no such service.
        """
        try:
            heard = self._session.receive(data)
        except ServiceError as error:
            raise self.stranger(error.message) from error
        answers: list[Answer] = []
        for one in heard:
            if isinstance(one, Answer):
                answers.append(one)
            else:
                self._told(one)
        return answers

    def _told(self, told: Told) -> None:
        """Names that are not known are a newer service's."""
        match told.name:
            case "sim.event":
                self._early.append(SimEvent.model_validate(told.payload))
                self.pass_on()
            case "server.event":
                self._goodbye = str(told.payload.get("reason", ""))
            case name if name == SERVER_ERROR:
                payload = told.payload
                self._refusal = ServiceError(ErrorCode(payload["code"]), payload["message"], payload["data"])

    def pass_on(self) -> None:
        """Give events to their subscriptions: the first of them may come before the subscription's number does."""
        if not self._early:
            return
        feeds = {feed.number: feed for feed in self.feeds}
        for _ in range(len(self._early)):
            event = self._early.popleft()
            feed = feeds.get(event.subscription)
            if feed is not None:
                feed.take(event)
            elif any(each.number is None for each in self.feeds):
                self._early.append(event)

    # --- its end -----------------------------------------------------------------------------------------------------

    def lost(self) -> LostError | ServiceError:
        """Take note of a connection's end; return what the requests fail with that were under way."""
        for feed in self.feeds:
            feed.lost()
        if self._refusal is not None:
            return self._refusal
        why = f" ({self._goodbye})" if self._goodbye else ""
        return LostError(f"the service at {self.address} ended the connection{why}")

    def give_up(self, error: ServiceLostError | ServiceError) -> None:
        """Let everybody who waits for events hear that none will come."""
        for feed in self.feeds:
            feed.error = error

    def stranger(self, why: str) -> ServiceLostError:
        """Return the error for somebody who is no service of ours."""
        return ServiceLostError(f"{self.address}: this is no kactors service, or not of this version: {why}")

    def attempts(self, patience_s: float) -> list[float]:
        """Return how long to wait before each attempt to connect; the first attempt of all is made at once."""
        return waits(patience_s) if self.service is not None else [0.0, *waits(patience_s)]

    def absent(self, error: Exception, patience_s: float) -> ServiceLostError:
        """Return the error for a service that cannot be reached."""
        if isinstance(error, ServiceLostError):
            return error
        again = "has gone and is not back" if self.service is not None else "does not answer"
        waited = f" after {patience_s:g} s" if patience_s else ""
        hint = "" if self.service is not None else "; `kactors serve` starts one"
        return ServiceLostError(f"the service at {self.address} {again}{waited}: {_reason(error)}{hint}")


def waits(patience_s: float) -> list[float]:
    """Return how long to wait before each attempt to connect again: twice as long each time, in all ``patience_s``."""
    found: list[float] = []
    wait_s, left_s = FIRST_WAIT_S, patience_s
    while left_s > 0:
        found.append(min(wait_s, left_s))
        left_s -= found[-1]
        wait_s = min(2 * wait_s, WAIT_S_MAX)
    return found


def _reason(error: BaseException) -> str:
    while error.__cause__ is not None and not isinstance(error.__cause__, BaseExceptionGroup):
        error = error.__cause__
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
