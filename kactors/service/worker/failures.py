"""What goes wrong in a simulation, as clients are told of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kactors.engine.errors import ActorCrash, UsageError
from kactors.live import ReplayDiffers
from kactors.user_file import blamed, described
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
        where, story = blamed(error), {"story": list(error.story[-20:])}
        crashed = f"{error.actor} crashed on {error.message} at {error.at_ns} ns: {described(error.__cause__)}"
        raise ServiceError(
            ErrorCode.ACTOR_CRASHED, where or crashed, story | ({"blamed": where} if where else {})
        ) from error
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        raise ServiceError(usage, f"{name}{error.strerror or error}") from error
    except SystemExit as error:
        # Nothing of ours calls it: a user's policy did.
        raise ServiceError(ErrorCode.ACTOR_CRASHED, f"a policy's code called sys.exit({error.code!r})") from error
    except Exception as error:
        if (where := blamed(error)) is not None:
            raise ServiceError(ErrorCode.ACTOR_CRASHED, where, {"blamed": where}) from error
        raise ServiceError(ErrorCode.INTERNAL, described(error)) from error
