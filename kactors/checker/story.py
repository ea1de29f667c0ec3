"""A schedule as a story: what each CPU does, a step a request with its answer, in the order in which it took effect."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from kactors.checker import words
from kactors.checker.rerun import Delivery
from protocols.base import Message
from protocols.scheduling import Granted, MustSleep, Retry
from protocols.search import StoryStep
from protocols.tlb import FlushIpi, IpiAck, SyncIpi
from protocols.vma import AdjustDone, VmaSnapshot

INTERRUPTS = (FlushIpi, SyncIpi)
WAKE_UPS = (Granted, Retry)
TABLE = "ptl@"
SHORT = 48
FEW = 4


def tell(deliveries: Sequence[Delivery]) -> tuple[StoryStep, ...]:
    """Return the steps of a schedule. Answers are told with what they answer, at the place where that took effect."""
    return tuple(step for step, _ in _steps(deliveries))


def step_of(deliveries: Sequence[Delivery], number: int) -> int:
    """Return the number of the step in which a delivery is told: its own, or that of the request that it answers."""
    found = -1
    for place, (_, told) in enumerate(_steps(deliveries)):
        if number in told:
            return place
        if min(told) <= number:
            found = place
    return max(found, 0)


def _steps(deliveries: Sequence[Delivery]) -> Iterator[tuple[StoryStep, frozenset[int]]]:
    names = {delivery.receiver for delivery in deliveries if delivery.receiver.startswith(TABLE)}
    for number, delivery in enumerate(deliveries):
        if _is_answer(delivery) or isinstance(delivery.message, AdjustDone):
            continue
        answered = _answer(deliveries, number)
        told = frozenset({number} if answered is None else {number, answered})
        lock = delivery.receiver if len(names) > 1 else "ptl"
        yield _step(delivery, delivery.answer if answered is None else deliveries[answered].message, lock), told


def _is_answer(delivery: Delivery) -> bool:
    """Return whether a delivery only completes another one."""
    return not delivery.spoken.file and not isinstance(delivery.message, (*INTERRUPTS, *WAKE_UPS))


def _answer(deliveries: Sequence[Delivery], number: int) -> int | None:
    """Return the number of the delivery that answers a request; None when it has none, or none in this schedule."""
    asked = deliveries[number]
    wanted = type(asked.message).replies
    for place in range(number + 1, len(deliveries)):
        given = deliveries[place]
        if (given.sender, given.receiver) == (asked.receiver, asked.sender) and type(given.message).__name__ in wanted:
            return place
    return None


def _step(delivery: Delivery, answer: Message | None, lock: str) -> StoryStep:
    message = delivery.message
    interrupt = isinstance(message, INTERRUPTS)
    on = delivery.receiver if interrupt or isinstance(message, WAKE_UPS) else delivery.sender
    effect = delivery.waits
    if interrupt and not effect:
        effect = "taken"
    elif answer is not None and not interrupt:
        effect = _answer_in_words(answer)
    elif type(message).replies and not interrupt:
        effect = "waits"
    return StoryStep(
        sender=delivery.sender,
        receiver=delivery.receiver,
        on=on,
        says=in_words(message),
        effect=effect,
        does=_does(delivery, answer, lock),
        source=str(delivery.spoken),
    )


def _does(delivery: Delivery, answer: Message | None, lock: str) -> str:
    """Return a step in the kernel's words: the call with what came of it."""
    message = delivery.message
    if isinstance(message, WAKE_UPS):
        return words.answer(message)
    said = words.request(message, lock=lock)
    if isinstance(message, INTERRUPTS):
        return f"{said}: {delivery.waits}, waits" if delivery.waits else f"{said}: taken"
    unanswered = "waits" if type(message).replies else ""
    came = unanswered if answer is None else words.answer(answer)
    return f"{said} -> {came}" if came else said


def _answer_in_words(message: Message) -> str:
    if isinstance(message, MustSleep):
        return "must sleep"
    if isinstance(message, IpiAck):
        return "acknowledged"
    fields = list(type(message).model_fields)
    return _value(getattr(message, fields[0])) if len(fields) == 1 else in_words(message) if fields else "done"


def in_words(message: Message) -> str:
    """Return a message in short: its name and its fields, addresses in hexadecimal."""
    fields = ", ".join(f"{name}={_value(value)}" for name, value in message)
    return f"{type(message).__name__}({fields})" if fields else type(message).__name__


def _value(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int):
        return f"{value:#x}" if value >= 1 << 16 else str(value)
    if isinstance(value, Message):
        return f"vma {value.vma_id} seq {value.sequence}" if isinstance(value, VmaSnapshot) else in_words(value)
    if isinstance(value, tuple) and len(value) <= FEW:
        return f"({', '.join(_value(part) for part in value)})"
    text = str(value)
    return text if len(text) <= SHORT else f"{text[:SHORT]}..."
