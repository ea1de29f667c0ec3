"""The blocking client's socket: made, lost, made again when it is needed."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from kactors.client.dial import CONNECT_S, READ_BYTES
from kactors.client.errors import LostError, ServiceLostError
from kactors.client.hub import Hub
from kactors.client.line import Line
from kactors.client.plans import Ask, Done, Plan, Sleep, resume
from protocols.service.base import Params
from protocols.service.errors import ServiceError

T = TypeVar("T")

OnDone = Callable[[int, T], None]


class Caller(Line):
    """Carries out plans, one request at a time."""

    def __init__(self, hub: Hub, tls: ssl.SSLContext | None, reconnect_s: float) -> None:
        super().__init__(hub, tls, reconnect_s)
        self._socket: socket.socket | None = None
        self._answers: dict[int, Any] = {}
        self._awaited: int | None = None

    # --- plans -------------------------------------------------------------------------------------------------------

    def carry_out(self, plan: Plan[T]) -> T:
        """Do what a plan says, and return its result."""
        return self.carry_out_together([plan])[0]

    def carry_out_together(self, plans: Sequence[Plan[T]], on_done: OnDone[T] | None = None) -> list[T]:
        """Carry out plans by turns: each goes on until it sleeps.

        Args:
            plans: which; the results are in their order.
            on_done: told of each plan's place and result as it ends.
        """
        results: dict[int, T] = {}
        try:
            while True:
                rests_s: list[float] = []
                for place in [place for place in range(len(plans)) if place not in results]:
                    step = self._until_it_rests(plans[place])
                    if isinstance(step, Sleep):
                        rests_s.append(step.seconds)
                        continue
                    results[place] = step.value
                    if on_done is not None:
                        on_done(place, step.value)
                if not rests_s:
                    return [results[place] for place in range(len(plans))]
                time.sleep(min(rests_s))
        finally:
            for plan in plans:
                plan.close()

    def _until_it_rests(self, plan: Plan[T]) -> Sleep | Done[T]:
        step = resume(plan)
        while isinstance(step, Ask):
            step = resume(plan, self._outcome(step.method, step.params))
        return step

    def tell(self, method: str, params: Params) -> None:
        """Send what wants no answer, if there is a connection."""
        if self._socket is not None:
            try:
                self._send(self._socket, self.hub.notification(method, params))
            except OSError:
                self._lose()

    def hear(self) -> None:
        """Wait until anything has come."""
        peer = self._connected()
        try:
            self._receive(peer)
        except OSError:
            self._lose()

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _outcome(self, method: str, params: Params | None) -> Any:
        """Return the answer, or the LostError or ServiceError instead of it."""
        peer = self._connected()
        try:
            msgid, data = self.hub.request(method, params)
            self._send(peer, data)
            return self._answer(peer, msgid)
        except ServiceError as error:
            return error
        except OSError:
            return self._lose()

    def _answer(self, peer: socket.socket, msgid: int) -> Any:
        # Answers that come later than this wait are nobody's: Ctrl-C ended who asked.
        self._answers.clear()
        self._awaited = msgid
        while msgid not in self._answers:
            self._receive(peer)
        return self._answers.pop(msgid)

    # --- the connection ----------------------------------------------------------------------------------------------

    def dial(self, patience_s: float) -> socket.socket:
        """Connect and say hello; try again for a while.

        Raises:
            ServiceLostError: nobody answers.
            ServiceError: the service does not want us.
        """
        error: Exception = ConnectionResetError("the connection was closed")
        for wait_s in self.hub.attempts(patience_s):
            time.sleep(wait_s)
            try:
                self._socket = self._meet()
            except TimeoutError:
                error = TimeoutError(f"no answer within {CONNECT_S:g} s")
            except OSError as refused:
                error = refused
            else:
                return self._socket
        raise self.hub.absent(error, patience_s) from error

    def _connected(self) -> socket.socket:
        """Return the connection, and make it where there is none."""
        while self._socket is None:
            try:
                self.dial(self._reconnect_s)
            except (ServiceLostError, ServiceError) as error:
                self.hub.give_up(error)
                raise
            for feed in self.hub.feeds:
                self.carry_out(feed.attach())
            self.hub.pass_on()
        return self._socket

    def _meet(self) -> socket.socket:
        peer = self._connect()
        try:
            msgid, data = self.hub.begin()
            peer.sendall(data)
            self.hub.met(self._answer(peer, msgid))
            peer.settimeout(None)
        except BaseException:
            peer.close()
            raise
        return peer

    def _connect(self) -> socket.socket:
        address = self.hub.address
        if address.kind == "unix":
            peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                peer.settimeout(CONNECT_S)
                peer.connect(address.path)
            except BaseException:
                peer.close()
                raise
            return peer
        peer = socket.create_connection((address.host, address.port), timeout=CONNECT_S)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return peer if self._tls is None else self._tls.wrap_socket(peer, server_hostname=address.host)

    def _send(self, peer: socket.socket, data: bytes) -> None:
        try:
            peer.sendall(data)
        except BaseException:
            self._lose()  # half a request may have gone: nothing can follow it
            raise

    def _receive(self, peer: socket.socket) -> None:
        data = peer.recv(READ_BYTES)
        if not data:
            raise ConnectionResetError("the connection was closed")
        for answer in self.hub.receive(data):
            if answer.msgid == self._awaited:
                self._answers[answer.msgid] = answer.outcome

    def _lose(self) -> LostError | ServiceError:
        self.close()
        return self.hub.lost()
