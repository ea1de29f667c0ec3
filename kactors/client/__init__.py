"""Clients of the service: one for Trio, one without async, both made of the same plans."""

from kactors.client.blocking import BlockingClient, BlockingEvents, BlockingSearch, BlockingSession, connect
from kactors.client.errors import ServiceLostError
from kactors.client.job import Job
from kactors.client.trio_client import Client, Events, Search, Session, open_client

__all__ = [
    "BlockingClient",
    "BlockingEvents",
    "BlockingSearch",
    "BlockingSession",
    "Client",
    "Events",
    "Job",
    "Search",
    "ServiceLostError",
    "Session",
    "connect",
    "open_client",
]
