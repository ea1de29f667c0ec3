"""One simulation that can be stepped, commanded, looked at and brought back. No I/O, no clock but virtual time.

A session is its scenario, its seed and the log of its commands: the same three give the same deliveries, byte for byte.
"""

from kactors.live.feeds import TOPICS, Happening
from kactors.live.machine import LiveMachine, Pause, Quota
from kactors.live.replay import Replay, ReplayDiffers
from kactors.live.stats import LiveStats

__all__ = ["TOPICS", "Happening", "LiveMachine", "LiveStats", "Pause", "Quota", "Replay", "ReplayDiffers"]
