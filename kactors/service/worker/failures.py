"""What goes wrong in a simulation, as clients are told of it."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from kactors.engine.errors import ActorCrash, UsageError
from kactors.live import ReplayDiffers
from protocols.service.errors import ErrorCode, ServiceError


@contextmanager
def told_as_service_errors(usage: ErrorCode = ErrorCode.INVALID_PARAMS) -> Iterator[None]:
    """Turn whatever the model raises into a ServiceError.

    Args:
        usage: the code for what the client asked wrongly.
    """
    try:
        yield
    except ServiceError:
        raise
    except ReplayDiffers as error:
        raise ServiceError(ErrorCode.REPLAY_DIFFERS, str(error)) from error
    except UsageError as error:
        raise ServiceError(usage, str(error)) from error
    except ActorCrash as error:
        cause = f"{type(error.__cause__).__name__}: {error.__cause__}"
        message = f"{error.actor} crashed on {error.message} at {error.at_ns} ns: {cause}"
        raise ServiceError(ErrorCode.ACTOR_CRASHED, message, {"story": list(error.story[-20:])}) from error
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        raise ServiceError(usage, f"{name}{error.strerror or error}") from error
    except SystemExit as error:
        # Nothing of ours calls it: a user's policy did.
        raise ServiceError(ErrorCode.ACTOR_CRASHED, f"a policy's code called sys.exit({error.code!r})") from error
    except Exception as error:
        code = ErrorCode.ACTOR_CRASHED if _is_of_a_policy(error) else ErrorCode.INTERNAL
        raise ServiceError(code, f"{type(error).__name__}: {error}") from error


def _is_of_a_policy(error: Exception) -> bool:
    """Return whether code of a user's own file was running; such a file is loaded, but not imported as a module."""
    running = (frame.f_globals for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(vars(sys.modules.get(names["__name__"], object)) is not names for names in running)
