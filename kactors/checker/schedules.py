"""A schedule as one line of text: which channel went next, as often as it did.

``kactors1:DIGEST:MOVES``. DIGEST is of version, scenario and policy: where it would mean something else, a schedule is
refused. A move is SENDER>RECEIVER, or SENDER for what a client says to servers, with ``.WAY`` where the model had
several ways to go on, and ``*N`` for N in a row; actors by number.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

from kactors.checker.space import STORES, Channel, Move, Space
from kactors.engine.errors import UsageError
from kactors.policies import policy_file
from protocols.scenario import Scenario

FORMAT = "kactors1"
_MOVE = re.compile(r"(?P<sender>\d+)(?:>(?P<receiver>\d+))?(?:\.(?P<way>\d+))?(?:\*(?P<times>\d+))?")
MOVES_MAX = 1_000_000


def digest(scenario: Scenario) -> str:
    """Return what a schedule of this scenario is marked with: 12 hexadecimal digits; a policy's own file counts."""
    # Options are the same in whatever order they were given.
    values = json.dumps(scenario.model_dump(mode="json", exclude={"seed", "until_ns", "events_max"}), sort_keys=True)
    path = policy_file(scenario.policy)
    source = Path(path).read_bytes() if path is not None and Path(path).is_file() else b""
    return hashlib.blake2b(f"{version('kactors')}/{values}".encode() + source, digest_size=6).hexdigest()


def write_schedule(scenario: Scenario, moves: Sequence[Move]) -> str:
    """Return a schedule as text."""
    runs = [(move, len(list(run))) for move, run in groupby(moves)]
    return f"{FORMAT}:{digest(scenario)}:{','.join(_move(move, times) for move, times in runs)}"


def retitled(scenario: Scenario, text: str) -> str:
    """Return a schedule as one of a scenario that differs in the names of its files alone."""
    return f"{FORMAT}:{digest(scenario)}:{text.rpartition(':')[2]}"


def _move(move: Move, times: int) -> str:
    (sender, receiver), way = move
    text = str(sender) if receiver == STORES else f"{sender}>{receiver}"
    text += f".{way}" if way else ""
    return text + (f"*{times}" if times > 1 else "")


def read_schedule(scenario: Scenario, text: str) -> tuple[Move, ...]:
    """Return the moves of a schedule.

    Raises:
        UsageError: it is no schedule, or one of another scenario or version.
    """
    mark, colon, words = text.strip().removeprefix(f"{FORMAT}:").partition(":")
    if not (colon and text.strip().startswith(f"{FORMAT}:")):
        raise UsageError(f"not a schedule: {text[:40]!r}; one begins with {FORMAT}: and is printed by kactors check")
    if mark != digest(scenario):
        raise UsageError(
            f"the schedule is marked {mark}, this scenario {digest(scenario)}: it is of another scenario, policy or "
            "version; replay it with the options that it was printed with"
        )
    moves: list[Move] = []
    for word in words.split(",") if words else ():
        match = _MOVE.fullmatch(word)
        if match is None:
            raise UsageError(f"the schedule is damaged at {word!r}: a move reads SENDER>RECEIVER.WAY*TIMES")
        times = int(match["times"] or 1)
        if len(moves) + times > MOVES_MAX:
            raise UsageError(f"the schedule has more than {MOVES_MAX} moves")
        channel: Channel = (int(match["sender"]), STORES if match["receiver"] is None else int(match["receiver"]))
        moves += [(channel, int(match["way"] or 0))] * times
    return tuple(moves)


def check_moves(space: Space, moves: Sequence[Move]) -> None:
    """Check that a schedule can be run.

    Raises:
        UsageError: naming the first move that is not possible.
    """
    state = space.first
    for number, (channel, way) in enumerate(moves):
        where = f"move {number + 1} of {len(moves)} ({_move((channel, way), 1)}) is not possible"
        if channel not in state.channels:
            why = "the run has ended by then" if not state.channels else "nothing is under way there"
            raise UsageError(f"the schedule is damaged: {where}: {why}")
        ways = len(space.head_steps(state, channel))
        if way >= ways:
            raise UsageError(f"the schedule is damaged: {where}: there are {ways} ways to go on")
        state, _ = space.move(state, (channel, way))
