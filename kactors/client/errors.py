"""What goes wrong between a client and the service; what the service itself refuses is a ServiceError."""

from __future__ import annotations


class ServiceLostError(ConnectionError):
    """Nobody answers at the address, or the service has gone and did not come back in time. The text is one line."""


class LostError(Exception):
    """The connection ended before the answer came: whether the request was carried out is not known.

    It stays inside the client: a plan decides what to ask then.
    """
