"""A pthread barrier: a count in user memory, and the futex on which those sleep who come before the last one."""

from __future__ import annotations

from typing import Final

from protocols.base import Count, Message


class ArriveAtBarrier(Message, sender=("cpu",), receiver=("barrier",), reply=("ArrivedAtBarrier",)):
    """pthread_barrier_wait in user mode: count oneself."""


class ArrivedAtBarrier(Message, sender=("barrier",), receiver=("cpu",)):
    """In which round of the barrier; ``last``: all the others of that round are there."""

    round: Count
    last: bool


class SleepAtBarrier(Message, sender=("cpu",), receiver=("barrier",), reply=("BarrierPassed", "MustSleep")):
    """futex_wait: sleep unless the round is over."""

    round: Count


class BarrierPassed(Message, sender=("barrier",), receiver=("cpu",)):
    """It was over before anybody could sleep (EWOULDBLOCK)."""


class OpenBarrier(Message, sender=("cpu",), receiver=("barrier",), reply=("BarrierOpened",)):
    """futex_wake by the last of a round: whoever sleeps in it goes on."""

    round: Count


class BarrierOpened(Message, sender=("barrier",), receiver=("cpu",)):
    """The caller pays for each sleeper that it has to wake, ``ipis`` of them on other CPUs."""

    woken: Count
    ipis: Count


ARRIVE_AT_BARRIER: Final = ArriveAtBarrier()
BARRIER_PASSED: Final = BarrierPassed()
