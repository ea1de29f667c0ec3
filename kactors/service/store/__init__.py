"""Where the service keeps its sessions: one SQLite file, which a crash at any moment leaves whole.

A session is its scenario and the log of its commands; machines are not stored, they are replayed.
"""

from kactors.service.store.records import CheckpointRecord, SessionRecord
from kactors.service.store.searches import DeleteSearch, EndSearch, SearchRecord, StartSearch
from kactors.service.store.store import Store
from kactors.service.store.writes import (
    AddCheckpoint,
    Advance,
    AppendEntry,
    Create,
    Delete,
    SaveResult,
    TruncateLog,
    Write,
)

__all__ = [
    "AddCheckpoint",
    "Advance",
    "AppendEntry",
    "CheckpointRecord",
    "Create",
    "Delete",
    "DeleteSearch",
    "EndSearch",
    "SaveResult",
    "SearchRecord",
    "SessionRecord",
    "StartSearch",
    "Store",
    "TruncateLog",
    "Write",
]
