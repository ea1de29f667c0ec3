"""The service's log on stderr: one line an event, for people at a terminal and as JSON everywhere else."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from kactors.engine.errors import UsageError

Style = Literal["console", "json"]

LEVELS: Mapping[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
SECRET_KEYS = frozenset({"token", "authorization"})
BLANK = "(not shown)"


class Lines:
    """Where the lines go. A service whose stderr is gone goes on serving.

    Args:
        file: stderr, or another text file.

    Attributes:
        lost: lines that could not be written.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.lost = 0

    def msg(self, line: str) -> None:
        """Write one line; count it as lost when that fails."""
        try:
            self._file.write(line + "\n")
            self._file.flush()
        except (OSError, ValueError):  # ValueError: the file was closed
            self.lost += 1

    # structlog calls the method of the event's level.
    debug = info = warning = error = critical = exception = msg


def configure(style: Style | None = None, level: str = "info", file: TextIO | None = None) -> Lines:
    """Let the log begin; calling again changes it, for loggers made before as well.

    Args:
        style: ``console`` or ``json``; None: console when the file is a terminal, JSON otherwise.
        level: events below it are not logged: debug, info, warning or error.
        file: stderr as it is now, unless given.

    Returns:
        Where the lines go.

    Raises:
        UsageError: there is no such style or level.
    """
    if style not in (None, "console", "json"):
        raise UsageError(f"log style {style!r}: there are console and json")
    if level not in LEVELS:
        raise UsageError(f"log level {level!r}: there are {', '.join(LEVELS)}")
    file = file or sys.stderr
    lines = Lines(file)
    as_text = style == "console" or (style is None and file.isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            blank_secrets,
            *(_console(file) if as_text else _json()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: lines,
        # A cached logger would keep writing as it was told the first time.
        cache_logger_on_first_use=False,
    )
    return lines


def logger(part: str, **bound: Any) -> FilteringBoundLogger:
    """Return a logger for a part of the service (``store``, ``http``); ``bound`` is in each of its lines."""
    made: FilteringBoundLogger = structlog.get_logger(part=part, **bound)
    return made


def blank_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace what stands under a secret's name, at any depth: a structlog processor."""
    return {key: _without_secrets(key, value) for key, value in event.items()}


def _without_secrets(key: object, value: object) -> object:
    if isinstance(key, str) and key.lower() in SECRET_KEYS:
        return BLANK
    if isinstance(value, Mapping):
        return {inner: _without_secrets(inner, part) for inner, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_secrets(None, part) for part in value]
    return value


def _console(file: TextIO) -> tuple[Processor, ...]:
    # Plain tracebacks: the pretty ones print local variables, and a token may be one. repr: a client chooses its name,
    # and shall neither write lines of its own nor steer the terminal.
    return (
        structlog.dev.ConsoleRenderer(
            colors=file.isatty(), repr_native_str=True, exception_formatter=structlog.dev.plain_traceback
        ),
    )


def _json() -> tuple[Processor, ...]:
    return (
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(sort_keys=True, default=repr),
    )
