"""A value for every key of every model: always the same ones, so that their bytes can be published."""

from __future__ import annotations

import enum
import types
import typing
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

_BY_NAME: dict[str, Any] = {
    "at_ns": 120_000,
    "client": "probe",
    "fingerprint": "5a1f09c3",
    "machine": "x86-vm-16",
    "now_ns": 120_000,
    "policy": "spf-v9",
    "session": "s1",
    "token": "secret",
    "workload": "ebizzy",
}
"""Where a name says more than a type."""
_PLAIN: dict[Any, Any] = {bool: True, int: 1, float: 0.5, str: "text", Any: "anything", types.NoneType: None}


def sample(model: type[BaseModel], *, every_key: bool = True) -> dict[str, Any]:
    """Return a valid value of a model as plain data.

    Args:
        model: which.
        every_key: with those that may be left out, in everything that is inside as well.
    """
    return {
        name: _field(name, field, every_key)
        for name, field in model.model_fields.items()
        if every_key or field.is_required() or _is_tag(field)
    }


def _is_tag(field: FieldInfo) -> bool:
    return typing.get_origin(field.annotation) is typing.Literal and len(typing.get_args(field.annotation)) == 1


def _field(name: str, field: FieldInfo, every_key: bool) -> Any:
    if name in _BY_NAME and (field.annotation is not int or isinstance(_BY_NAME[name], int)):
        return _BY_NAME[name]
    return _value(field.annotation, least(field.metadata), every_key)


def least(metadata: typing.Iterable[Any]) -> int:
    """Return the least int that annotations allow, 1 if they say nothing."""
    for note in metadata:
        if isinstance(note, FieldInfo):
            return least(note.metadata)
        if (bound := getattr(note, "ge", None)) is not None:
            return max(1, int(bound))
    return 1


def _value(annotation: Any, lowest: int, every_key: bool) -> Any:
    """Return a value of a type."""
    if annotation in _PLAIN:
        return lowest if annotation is int else _PLAIN[annotation]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return sample(annotation, every_key=every_key)
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return next(iter(annotation)).value
    parts = typing.get_args(annotation)
    match typing.get_origin(annotation):
        case typing.Annotated:
            return _value(parts[0], least(parts[1:]), every_key)
        case typing.Literal:
            return parts[0]
        case origin if origin is tuple:
            each = parts[:1] if parts[-1] is Ellipsis else parts
            return [_value(part, 1, every_key) for part in each]
        case origin if origin is dict:
            return {"key": _value(parts[1], 1, every_key)}
    return _value(parts[0], lowest, every_key)  # a union: its first
