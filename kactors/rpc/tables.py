"""The models as Markdown: a table of keys for each, types in words, links to the models inside."""

from __future__ import annotations

import enum
import json
import types
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from kactors.rpc.docstrings import attribute_docs

_WORDS: dict[Any, str] = {
    bool: "bool",
    int: "int",
    float: "float",
    str: "str",
    Any: "any value",
    types.NoneType: "nil",
}


def described(model: type[BaseModel]) -> str:
    """Return a model's docstring as a paragraph or several."""
    paragraphs = (model.__doc__ or "").split("Raises:")[0].split("Attributes:")[0].strip().split("\n\n")
    return _markdown("\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs))


def key_table(model: type[BaseModel], *, asked: bool = True) -> list[str]:
    """Return the lines of a table of a model's keys.

    Args:
        model: which.
        asked: whether clients may send it; then it matters which keys they may leave out.
    """
    if not model.model_fields:
        return ["No keys."]
    docs = attribute_docs(model)
    rows = [["key", "type", *["default"] * asked, ""], ["---"] * (3 + asked)]
    for name, field in model.model_fields.items():
        default = ["needed" if field.is_required() else f"`{_default(field)}`"] * asked
        words = type_words(field.annotation, field.metadata)
        rows.append([f"`{name}`", words, *default, _markdown(docs.get(name, ""))])
    return [f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in rows]


def _markdown(text: str) -> str:
    return text.replace("``", "`")


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, BaseModel):
        return "{}"
    return "nil" if value is None else json.dumps(value)


def type_words(annotation: Any, metadata: typing.Iterable[Any] = ()) -> str:
    """Return a type in words, with what its values are limited to."""
    if annotation in _WORDS:
        return _WORDS[annotation] + _bounds(metadata, "chars" if annotation is str else "")
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return " or ".join(f"`{member.value}`" for member in annotation)
    parts = typing.get_args(annotation)
    match typing.get_origin(annotation):
        case typing.Annotated:
            return type_words(parts[0], parts[1:])
        case typing.Literal:
            return " or ".join(f"`{part}`" for part in parts)
        case origin if origin is tuple:
            if parts[-1] is not Ellipsis:
                return f"list of {' and '.join(type_words(part) for part in parts)}"
            return f"list of {type_words(parts[0])}{_bounds(metadata, 'long')}"
        case origin if origin is dict:
            return f"map of {type_words(parts[1])}"
    return " or ".join(type_words(part, metadata if part in _WORDS else ()) for part in parts)


def _bounds(metadata: typing.Iterable[Any], of: str) -> str:
    """Return the limits that annotations set, as `` 1..64 chars``."""
    found: dict[str, Any] = {}
    for note in _flat(metadata):
        for name in ("ge", "le", "min_length", "max_length"):
            if (bound := getattr(note, name, None)) is not None:
                found[name[:3]] = bound
    low, high = (found.get("ge", found.get("min")), found.get("le", found.get("max")))
    if low is None and high is None:
        return ""
    return f" {_number(low) or ('0' if of else '')}..{_number(high)} {of}".rstrip()


def _flat(metadata: typing.Iterable[Any]) -> Iterator[Any]:
    for note in metadata:
        if isinstance(note, FieldInfo):
            yield from note.metadata
        else:
            yield note


def _number(bound: int | None) -> str:
    if bound is None:
        return ""
    if bound > 2**31 and not bound & (bound - 1):
        return f"2^{bound.bit_length() - 1}"
    return f"2^{bound.bit_length()} - 1" if bound > 2**31 and not bound & (bound + 1) else str(bound)


def models_inside(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yield the models of a model's keys, and theirs."""
    for field in model.model_fields.values():
        for inside in _models(field.annotation):
            yield inside
            yield from models_inside(inside)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _models(part)
