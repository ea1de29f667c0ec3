"""The base of every message: frozen, strict, deeply immutable, with its direction declared.

A message never carries its envelope (times, sender, correlation tag): those belong to the engine. A message without
fields is therefore one shared instance, and a broadcast is one instance posted to many receivers.
"""

from __future__ import annotations

import enum
import types
import typing
import zlib
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict

ATOMS = (int, bool, str, bytes, types.NoneType)


class Unit:
    """The unit or meaning of a number, attached to its type so that a field needs no comment."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


Address = Annotated[int, Unit("virtual address, bytes")]
PmdAddress = Annotated[int, Unit("first virtual address of a PMD, bytes")]
ByteCount = Annotated[int, Unit("bytes")]
Ns = Annotated[int, Unit("ns")]
PageCount = Annotated[int, Unit("pages")]
Pfn = Annotated[int, Unit("page frame number")]
Vpn = Annotated[int, Unit("virtual page number")]
PteIndex = Annotated[int, Unit("index into one page table")]
PteValue = Annotated[int, Unit("pte: pfn and flags, 0 = none")]
TableId = Annotated[int, Unit("page table number, -1 = none")]
FileId = Annotated[int, Unit("file number")]
PageIndex = Annotated[int, Unit("page number in its file")]
VmaId = Annotated[int, Unit("vma number")]
CpuId = Annotated[int, Unit("cpu number, -1 = khugepaged")]
Generation = Annotated[int, Unit("ctx_id and tlb generation")]
Count = Annotated[int, Unit("count")]


class Message(BaseModel):
    """One immutable message. Subclasses declare their direction as class keywords.

    ``class DownRead(Message, sender=("cpu",), receiver=("mm",), reply=("MmapSemAcquired",))``

    Raises:
        TypeError: when a field's type could be mutated (list, dict, set, any other class).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True)

    senders: ClassVar[tuple[str, ...]] = ()
    receivers: ClassVar[tuple[str, ...]] = ()
    replies: ClassVar[tuple[str, ...]] = ()
    code: ClassVar[int] = 0

    def __init_subclass__(
        cls,
        *,
        sender: tuple[str, ...] = (),
        receiver: tuple[str, ...] = (),
        reply: tuple[str, ...] = (),
        **config: Any,
    ) -> None:
        super().__init_subclass__(**config)
        cls.senders, cls.receivers, cls.replies = sender, receiver, reply
        # A number that depends on the name alone: the same on every Python, in every import order.
        cls.code = zlib.crc32(cls.__name__.encode())

    @classmethod
    def __pydantic_init_subclass__(cls, **_direction: Any) -> None:
        for name, field in cls.model_fields.items():
            _refuse_mutable(cls.__name__, name, field.annotation)


class Tracepoint(Message):
    """Something that happened, told to observers only: no actor can hear it, so it cannot change a run."""


def _refuse_mutable(owner: str, field: str, annotation: Any) -> None:
    """Raise TypeError unless every value of ``annotation`` is immutable all the way down."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        _refuse_mutable(owner, field, typing.get_args(annotation)[0])
    elif origin is typing.Literal:
        return
    elif origin in (tuple, frozenset, typing.Union, types.UnionType):
        for part in typing.get_args(annotation):
            if part is not Ellipsis:
                _refuse_mutable(owner, field, part)
    elif not (isinstance(annotation, type) and issubclass(annotation, (*ATOMS, enum.Enum, Message))):
        raise TypeError(
            f"{owner}.{field}: {annotation!r} can be mutated; a message holds int, bool, str, bytes, None, enums, "
            "tuples, frozensets and messages"
        )


def vocabulary(base: type[Message] = Message) -> list[type[Message]]:
    """Return every declared subclass of ``base`` that has a direction or is a tracepoint, by module and name."""
    found: list[type[Message]] = []
    pending = list(base.__subclasses__())
    while pending:
        cls = pending.pop()
        pending.extend(cls.__subclasses__())
        if cls.senders or cls.receivers:
            found.append(cls)
    return sorted(found, key=lambda cls: (cls.__module__, cls.__name__))
