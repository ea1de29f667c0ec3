"""How a program of ours ends: its exit code, and one line on stderr for everything that goes wrong."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from kactors.engine.errors import ActorCrash, UsageError
from kactors.user_file import blamed, described
from protocols.service.errors import ServiceError

FINDING, USAGE, INTERNAL, INTERRUPTED, PIPE_GONE = 1, 2, 3, 130, 141

REFUSED = {"finding": FINDING, "internal": INTERNAL}
"""What the service says is a finding, a bug, or else our own fault, as what it blames on a file of ours."""


@contextmanager
def exit_codes(
    *, passing: tuple[type[Exception], ...] = (), show_traceback: bool = False, hint: str = ""
) -> Iterator[None]:
    """Turn whatever the block raises into a line and ``SystemExit``.

    Args:
        passing: exceptions that the caller deals with itself.
        show_traceback: print it before the line of an error.
        hint: ends the line of an internal error.
    """
    try:
        yield
        # Here and not when Python exits, where a reader who has gone could only be complained about.
        if sys.stdout is not None:  # else the caller has closed it
            sys.stdout.flush()
    except BrokenPipeError as error:
        raise SystemExit(_leave_quietly()) from error
    except KeyboardInterrupt as error:
        # A terminal has echoed ^C and stands in the middle of a line.
        if sys.stderr is not None and sys.stderr.isatty():
            sys.stderr.write("\n")
        raise SystemExit(complain("interrupted", INTERRUPTED)) from error
    except SystemExit as error:
        # Nothing of ours calls it: a user's policy did, when it was imported or while it served a fault.
        raise SystemExit(complain(f"a policy's code called sys.exit({error.code!r})", USAGE)) from error
    except passing:
        raise
    except BaseException as error:  # a user's policy may raise what it wants
        if show_traceback:
            traceback.print_exception(error)
        raise SystemExit(_tell(error, hint)) from error


def complain(text: str, code: int) -> int:
    """Print the text as one line, if anybody is there to read it, and return the code."""
    if sys.stderr is not None:
        sys.stderr.write(f"kactors: {' '.join(text.split())}\n")
        sys.stderr.flush()
    return code


def _tell(error: BaseException, hint: str) -> int:
    if isinstance(error, UsageError):
        return complain(str(error), USAGE)
    if isinstance(error, ServiceError):
        code = USAGE if "blamed" in error.data else REFUSED.get(error.code.error_class, USAGE)
        return complain(f"the service says: {error.message}", code)
    if isinstance(error, OSError):
        name = f"{error.filename}: " if error.filename else ""
        return complain(f"{name}{error.strerror or error}", USAGE)
    if (blame := blamed(error)) is not None:
        return complain(blame, USAGE)
    if isinstance(error, ActorCrash):
        what = f"{error.actor} crashed on {error.message} at {error.at_ns} ns: {described(error.__cause__)}"
    else:
        what = described(error)
    return complain(f"internal error: {what}{hint}", INTERNAL)


def _leave_quietly() -> int:
    """Whoever read our output has gone: what is still in the buffer must not be written when Python exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return PIPE_GONE
