"""One service at a time: a lock beside the file, which the kernel gives back however the holder ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from kactors.engine.errors import UsageError

PID_BYTES = 32


def take_lock(path: Path) -> int:
    """Lock a store's file and return what holds the lock: a file descriptor; closing it gives the lock back.

    The lock is not on the file itself: SQLite's own locks would go when the descriptor is closed.

    Raises:
        UsageError: another process has it; the message names its pid.
        OSError: the lock's file cannot be made.
    """
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError:
        holder = os.pread(lock, PID_BYTES, 0).decode(errors="replace").strip() or "unknown"
        os.close(lock)
        raise UsageError(f"another service uses it (pid {holder}); end that one or name another file") from None
    except BaseException:
        os.close(lock)
        raise
    return lock
