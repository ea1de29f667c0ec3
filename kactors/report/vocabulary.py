"""The whole vocabulary of the actors, generated from the messages' own declarations."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from io import StringIO
from types import ModuleType
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from protocols.base import Message, Unit
from protocols.roles import CONVERSATIONS, messages

PIPE_WIDTH = 1_000
"""In a pipe nothing is wrapped: one line a message, for grep."""
COLUMNS = ("request", "sender", "receiver", "reply", "fields", "meaning")


def vocabulary(width: int | None = None) -> str:
    """Return a table a conversation: request, sender, receiver, reply, fields with units, first docstring line.

    Args:
        width: columns to fit into; None: as many as needed, one line a message.
    """
    out = StringIO()
    plain: dict[str, Any] = {"color_system": None, "highlight": False, "emoji": False, "markup": False}
    console = Console(file=out, width=width or PIPE_WIDTH, **plain)
    for conversation in CONVERSATIONS:
        console.print(f"{_name(conversation)}: {_first_line(conversation.__doc__)}")
        console.print()
        console.print(Padding(_table(conversation), (0, 0, 1, 2)))
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().rstrip().splitlines())


def declared_in(conversation: ModuleType) -> list[type[Message]]:
    """Return the messages that a module of protocols declares, by name."""
    return [cls for cls in messages() if cls.__module__ == conversation.__name__]


def fields(message: type[Message]) -> str:
    """Return the fields of a message with their units: ``order (count), pfns (page frame number)``."""
    return ", ".join(_field(name, field.annotation, field.metadata) for name, field in message.model_fields.items())


def _table(conversation: ModuleType) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in COLUMNS:
        # A name is never broken in two; what is left of the line is for fields and meaning.
        table.add_column(column, no_wrap=column == COLUMNS[0], overflow="fold")
    for cls in declared_in(conversation):
        who = [", ".join(names) for names in (cls.senders, cls.receivers, cls.replies)]
        table.add_row(cls.__name__, *who, fields(cls), _first_line(cls.__doc__))
    return table


def _field(name: str, annotation: Any, metadata: list[Any]) -> str:
    units = [part.name for part in metadata if isinstance(part, Unit)] or list(dict.fromkeys(_units(annotation)))
    return f"{name} ({' | '.join(units)})" if units else name


def _units(annotation: Any) -> Iterator[str]:
    """Yield the units of a type, or its name where it has none: tuples and unions have those of their parts."""
    if isinstance(annotation, type):
        if annotation is not types.NoneType:
            yield annotation.__name__
        return
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        yield from (part.name for part in parts[1:] if isinstance(part, Unit))
    elif origin is typing.Literal:
        yield from map(str, parts)
    else:
        for part in parts:
            if part is not Ellipsis:
                yield from _units(part)


def _name(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2]


def _first_line(doc: str | None) -> str:
    return (doc or "").strip().partition("\n")[0]
