"""Simulates page-fault concurrency with message-passing actors in virtual time."""

from kactors.run import Machine, run
from protocols.result import Result
from protocols.scenario import Scenario

__all__ = ["Machine", "Result", "Scenario", "run"]
