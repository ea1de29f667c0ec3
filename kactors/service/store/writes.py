"""What can be written: each class is one change. What must not be torn apart goes into one group of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kactors.service.store.records import CheckpointRecord, SessionRecord
from kactors.service.store.searches import DeleteSearch, EndSearch, StartSearch
from protocols.service.commands import Entry, Position
from protocols.service.sessions import State
from protocols.stop import AnyStop


@dataclass(frozen=True)
class Create:
    """A new session, with its log and its checkpoints. Its name and its client's key must be free."""

    record: SessionRecord

    @property
    def session(self) -> str:
        """The new session's name."""
        return self.record.session


@dataclass(frozen=True)
class Advance:
    """Where a session stands now; the fields are SessionRecord's. A session that has not ended loses its result."""

    session: str
    sequence: int
    position: Position
    state: State
    goal_ns: int | None
    goal_events: int | None
    stop: AnyStop | None
    error: list[Any] | None
    wall_ns: int


@dataclass(frozen=True)
class AppendEntry:
    """One more command in a session's log; ``place`` is the log's length before it, so that none is lost or doubled."""

    session: str
    place: int
    entry: Entry


@dataclass(frozen=True)
class TruncateLog:
    """Keep the first ``length`` commands of a log, and the checkpoints to which no later one led."""

    session: str
    length: int


@dataclass(frozen=True)
class AddCheckpoint:
    """Name a position. The name must be free in its session."""

    session: str
    name: str
    checkpoint: CheckpointRecord


@dataclass(frozen=True)
class SaveResult:
    """The result of a session that has ended, in the place of an older one."""

    session: str
    result: dict[str, Any]


@dataclass(frozen=True)
class Delete:
    """Forget a session with all that belongs to it."""

    session: str


SearchWrite = StartSearch | EndSearch | DeleteSearch
Write = Create | Advance | AppendEntry | TruncateLog | AddCheckpoint | SaveResult | Delete | SearchWrite
