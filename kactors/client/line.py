"""The line to the service over which plans are carried out: what both kinds of it are made of."""

from __future__ import annotations

import ssl

from kactors.client.hub import Hub


class Line:
    """A line.

    Args:
        hub: the conversation.
        tls: to speak TLS with; None: not at all.
        reconnect_s: how long a service that has gone may take to come back, in wall-clock time.
    """

    def __init__(self, hub: Hub, tls: ssl.SSLContext | None, reconnect_s: float) -> None:
        self.hub = hub
        self._tls = tls
        self._reconnect_s = reconnect_s
