"""One client's connection as the methods see it: who it is, what it may name, and how it is told things."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kactors.policies import policy_file
from kactors.rpc.codec import encode_notification
from kactors.rpc.session import ServerSession
from kactors.service.outbox import Outbox
from kactors.service.tokens import TokenFile
from protocols.scenario import Scenario
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.server import Limits

EVENTS_SHARE = 4
"""Events may fill a quarter of a client's output: answers find room when the client reads no events."""


@dataclass(frozen=True)
class Rules:
    """What holds for everybody who comes by one listener.

    Attributes:
        tokens: who may; None: whoever can connect.
        files_root: scenarios may name files below it; None: none.
        local: the same user on the same machine, by a socket file: may name any file, and end the service.
    """

    tokens: TokenFile | None
    files_root: Path | None
    local: bool


class Connection:
    """One connection.

    Attributes:
        number: of the connection, from 1.
        client: the name under which quotas are counted.
        rules: of its listener.
        session: the protocol's state.
        outbox: bytes on their way out.
        turn_began_s: since when its requests are being answered without a break, on a monotonic clock.
    """

    numbers = itertools.count(1)

    def __init__(self, rules: Rules, limits: Limits) -> None:
        self.number = next(self.numbers)
        self.client = f"connection-{self.number}"
        self.rules = rules
        self.turn_began_s = 0.0
        self._introduced = False
        self.session = ServerSession(limits, token_needed=rules.tokens is not None)
        self.outbox = Outbox()
        self._events_bytes_max = limits.output_bytes_max // EVENTS_SHARE

    def introduce(self, client: str | None, token: str | None) -> None:
        """Take what hello says.

        Raises:
            ServiceError: BAD_TOKEN; CONFLICT: it was said before, with another name.
        """
        tokens = self.rules.tokens
        name = client or self.client
        if tokens is not None:
            principal = None if token is None else tokens.principal(token)
            if principal is None:
                raise ServiceError(ErrorCode.BAD_TOKEN, "hello needs a token of the service's token file")
            name = principal if client is None else f"{principal}/{client}"
            self.session.authenticated()
        if self._introduced and name != self.client:
            raise ServiceError(ErrorCode.CONFLICT, f"this connection is {self.client}'s; connect again as {name}")
        self.client, self._introduced = name, True

    def flush(self) -> None:
        """Send what the session has to say."""
        output = self.session.take_output()
        if output:
            self.outbox.put(output)

    def send_event(self, event: dict[str, Any]) -> bool:
        """Send an event, or return False: the client does not read what it has asked for."""
        if self.outbox.size > self._events_bytes_max or self.session.closing:
            return False
        self.session.notify_packed(encode_notification("sim.event", [event]))
        self.flush()
        return True

    def need_local(self, what: str) -> None:
        """Refuse what only the service's own user may do.

        Raises:
            ServiceError: FORBIDDEN.
        """
        if not self.rules.local and self.rules.tokens is None:
            raise ServiceError(ErrorCode.FORBIDDEN, f"{what} is for clients on the socket file, or with a token")

    def check_files(self, scenario: Scenario) -> None:
        """Refuse a scenario that names files which this connection may not read.

        Raises:
            ServiceError: FORBIDDEN.
        """
        if self.rules.local:
            return
        root = self.rules.files_root
        for file in _files(scenario):
            if root is None or not Path(file).resolve().is_relative_to(root.resolve()):
                where = "any file" if root is None else f"files outside {root}"
                message = f"{file}: over TCP a scenario may not name {where}; the socket file may, and --files-root"
                raise ServiceError(ErrorCode.FORBIDDEN, message, {"file": file})

    def check_property(self, name: str) -> None:
        """Refuse a property in a file which this connection may not read; those that kactors has are for everybody.

        Raises:
            ServiceError: FORBIDDEN.
        """
        self.check_policy(name)

    def check_policy(self, policy: str) -> None:
        """Refuse a policy in a file which this connection may not read.

        Raises:
            ServiceError: FORBIDDEN.
        """
        self.check_files(Scenario(policy=policy))


def _files(scenario: Scenario) -> list[str]:
    """Return what a scenario names by path: a policy of one's own, a machine profile, a recording."""
    files = [str(value) for key, value in scenario.options.items() if key == "file"]
    policy = policy_file(scenario.policy)
    if policy is not None:
        files.append(policy)
    if scenario.machine.endswith(".toml"):
        files.append(scenario.machine)
    return files
