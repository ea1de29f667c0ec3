"""A schedule run by the real actors, all of them at once: for the story, the wait-for graph, and the pages at the end.

The search knows what each actor does from having seen it once; here nothing is taken from memory. That the two agree is
checked at every step, so a state that the search takes for another shows.
"""

from __future__ import annotations

import inspect
import linecache
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from kactors.checker.bench import Bench
from kactors.checker.origin import Origin
from kactors.checker.space import Happening, Move, Space, State
from kactors.engine.errors import ModelError
from kactors.engine.event import Party
from kactors.engine.waits import judge
from kactors.system import System
from protocols.base import Message
from protocols.stop import AnyStop, Deadlock

KERNEL_CODE = ("/kactors/syscalls/", "/kactors/khugepaged.py", "/kactors/workloads/")
"""Where to look for the line that said something when it was not a policy's."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """Where something was said: file name, line, and that line's text; empty for the model's own machinery."""

    file: str = ""
    line: int = 0
    text: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}" if self.file else ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message that a schedule delivers.

    Attributes:
        sender, receiver: names.
        message: what was said.
        tag: of the request that it belongs to.
        spoken: where.
        waits: it is an interrupt that has to wait; why.
        answer: what the receiver has answered at once, whether or not the schedule goes on until it is taken.
    """

    sender: str
    receiver: str
    message: Message
    tag: int
    spoken: Spoken
    waits: str = ""
    answer: Message | None = None


class Listener(Bench):
    """A bench that also notes which line of the policy said what."""

    def __init__(self, files: frozenset[str]) -> None:
        super().__init__()
        self._files = files
        self.spoken: dict[tuple[int, int, Message], list[Spoken]] = {}

    def post(self, at_ns: int, receiver: Party, sender: Party, message: Message, tag: int = 0) -> Any:
        """Take down what was said, and where."""
        place = self._place(inspect.currentframe())
        self.spoken.setdefault((sender.id, receiver.id, message), []).append(place)
        return super().post(at_ns, receiver, sender, message, tag)

    def _place(self, frame: FrameType | None) -> Spoken:
        """Return the innermost line of the policy, or of the system call or khugepaged, that is running."""
        second = Spoken()
        while frame is not None:
            file = frame.f_code.co_filename
            if file in self._files or any(part in file for part in KERNEL_CODE):
                text = linecache.getline(file, frame.f_lineno).strip()
                here = Spoken(Path(file).name, frame.f_lineno, text)
                if file in self._files:
                    return here
                second = second if second.file else here
            frame = frame.f_back
        return second


@dataclass(frozen=True)
class Rerun:
    """A schedule that was run.

    Attributes:
        deliveries: after the workers had started.
        stop: why it ended, with the wait-for graph where it is a deadlock; None when messages are still under way.
        state: where it led in the search's terms.
        system: the machine at its end.
    """

    deliveries: tuple[Delivery, ...]
    stop: AnyStop | None
    state: State
    system: System


def rerun(
    space: Space,
    moves: Sequence[Move],
    set_up: Callable[[Bench], Origin],
    look: Callable[[Delivery, Origin], None] | None = None,
) -> Rerun:
    """Run a schedule.

    Args:
        space: of the scenario.
        moves: from ``space.first`` on.
        set_up: makes the scenario's machine on a bench.
        look: called after each delivery, those that start the workers included.

    Raises:
        KeyError: a move is none: nothing is under way in its channel.
        ModelError: an actor comes to another state, or says something else, than the search has seen it do.
    """
    origin = set_up(Listener(_policy_files(space)))
    bench = origin.bench
    if isinstance(bench, Listener):
        bench.spoken.clear()
    deliveries: list[Delivery] = []
    state = space.start
    for number, move in enumerate((*space.prologue, *moves)):
        after, happening = space.move(state, move)
        for place in range(len(happening.took)):
            made = _deliver(space, origin, state, move, place, happening)
            if look is not None:
                look(made, origin)
            if number >= len(space.prologue):
                deliveries.append(made)
        for actor, _ in happening.took:
            _compare(space, after, bench.actors[actor])
        state = after
    stop = space.verdict(state)
    if isinstance(stop, Deadlock):
        found = judge(bench.actors)
        stop = found if isinstance(found, Deadlock) else stop
    return Rerun(tuple(deliveries), stop, state, origin.system)


def _deliver(space: Space, origin: Origin, state: State, move: Move, place: int, happening: Happening) -> Delivery:
    """Let the actor take one message of a move."""
    bench = origin.bench
    (sender, _), way = move
    actor, item = happening.took[place]
    if place:
        sender = happening.took[place - 1][0]
    receiver, (_, tag, message) = bench.actors[actor], space.automata.vocabulary.items[item]
    decisions = space.head_steps(state, move[0])[way].decisions if place == 0 else ()
    bench.clear(decisions, len(bench.actors))
    spoken = bench.spoken.get((sender, actor, message)) if isinstance(bench, Listener) else None
    waiting = len(receiver.interrupts.pending) if hasattr(receiver, "interrupts") else 0
    receiver.receive((0, receiver, bench.actors[sender], tag, message))
    waits = ""
    if hasattr(receiver, "interrupts") and len(receiver.interrupts.pending) > waiting:
        waits = f"irqs off in {receiver.interrupts.path}"
    return Delivery(
        sender=bench.actors[sender].name,
        receiver=receiver.name,
        message=message,
        tag=tag,
        spoken=spoken.pop(0) if spoken else Spoken(),
        waits=waits,
        answer=_answer(bench, sender, tag, message),
    )


def _answer(bench: Bench, asker: int, tag: int, message: Message) -> Message | None:
    """Return what the delivery of a request has made its receiver answer; None when the asker is left to wait."""
    wanted = type(message).replies
    return next(
        (said for to, _, of, said in bench.posts if (to.id, of) == (asker, tag) and type(said).__name__ in wanted), None
    )


def _compare(space: Space, state: State, actor: Any) -> None:
    """See that an actor has come to the state that the search takes it for."""
    if not space.automata.is_at(state.nodes[actor.id], actor):
        raise ModelError(
            f"{actor.name} is not in the state that it was in when the search gave it the same messages: "
            "it depends on something that is not its own (a policy or a workload that keeps state?)"
        )


def _policy_files(space: Space) -> frozenset[str]:
    """Return the source files of the policy's classes, but not of what is every policy's."""
    files = set()
    for kind in type(space.policy).__mro__:
        module = sys.modules.get(kind.__module__)
        file = getattr(module, "__file__", None) or getattr(sys.modules.get(kind.__module__), "__file__", None)
        for value in vars(kind).values():
            code = getattr(value, "__code__", None)
            file = file or (code.co_filename if code else None)
        if file and kind.__module__ not in {"kactors.fault_policy", "abc", "builtins"}:
            files.add(file)
    return frozenset(files)
