"""What would be right in a wrong value's place, in this project's words: from the field of a model to a phrase."""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

SHOWN_MAX = 60
LONG = 1_000_000
"""Numbers from here on have a comma every three digits, or are written as the power of two that they are."""
OF_THE_TYPE = frozenset({"greater_than_equal", "less_than_equal", "literal_error", "enum"})
"""pydantic's names for values that the type of a field excludes; so do all that end in _type or begin with a type."""
SAID = {
    "missing": "is missing",
    "extra_forbidden": "means nothing here",
    "union_tag_invalid": "should have as {discriminator} one of {expected_tags}",
}
TYPES = ("int_", "bool_", "float_", "string_unicode")


def should_be(model: type[BaseModel], detail: Mapping[str, Any]) -> str:
    """Return the end of a sentence about one of pydantic's errors: ``should be a whole number from 1 to 4096``.

    Args:
        model: what was validated.
        detail: one of ``ValidationError.errors()``.
    """
    kind: str = detail["type"]
    if kind in OF_THE_TYPE or kind.endswith("_type") or kind.startswith(TYPES):
        return f"should be {' or '.join(dict.fromkeys(_phrases(_at(model, detail['loc']))))}"
    if kind in SAID:
        return SAID[kind].format(**detail.get("ctx", {}))
    # A rule that the model's author wrote, perhaps a user in his policy's options.
    return str(detail["msg"]).removeprefix("Value error, ").replace("Input should", "should")


def shown(value: Any) -> str:
    """Return a wrong value on one line, and not all of it where it is long."""
    text = repr(value)
    return text if len(text) <= SHOWN_MAX else f"{text[: SHOWN_MAX - 3]}..."


def _at(annotation: Any, place: Iterable[int | str]) -> Any:
    """Return the type that belongs at a place; pydantic ends some with its name for one of several types."""
    for key in place:
        models = [one for one in _alternatives(annotation) if _is(one, BaseModel)]
        inside = [typing.get_args(one)[-1 if typing.get_origin(one) is dict else 0] for one in _containers(annotation)]
        if having := [model for model in models if key in model.model_fields]:
            field = having[0].model_fields[str(key)]
            annotation = typing.Annotated[field.annotation, field]
        elif tagged := [model for model in models if key in _tags(model)]:
            annotation = tagged[0]
        elif inside:
            annotation = inside[0]
        else:
            break
    return annotation


def _containers(annotation: Any) -> Iterator[Any]:
    return (one for one in _alternatives(annotation) if typing.get_origin(one) in (dict, list, tuple))


def _tags(model: type[BaseModel]) -> set[Any]:
    """Return by what pydantic names a model among several: the default of its discriminator."""
    return {field.default for field in model.model_fields.values() if isinstance(field.default, str)}


def _alternatives(annotation: Any) -> Iterator[Any]:
    """Yield the types of which a value may be one, but for None: that is said by leaving the key out."""
    parts = typing.get_args(annotation)
    match typing.get_origin(annotation):
        case typing.Union | types.UnionType:
            for part in parts:
                yield from _alternatives(part)
        case typing.Annotated if _is(parts[0], int, float, str):
            yield annotation
        case typing.Annotated:
            yield from _alternatives(parts[0])
        case _ if annotation is not types.NoneType:
            yield annotation


def _phrases(annotation: Any) -> Iterator[str]:
    """Yield a phrase for each type that the value may have."""
    for one in _alternatives(annotation):
        annotated = typing.get_origin(one) is typing.Annotated
        yield _phrase(*typing.get_args(one)) if annotated else _phrase(one)


def _phrase(one: Any, *notes: Any) -> str:
    if typing.get_origin(one) is typing.Literal:
        return _one_of(map(repr, typing.get_args(one)))
    if _is(one, enum.Enum):
        return _one_of(repr(member.value) for member in one)
    if _is(one, bool):
        return "true or false"
    if _is(one, int, float):
        return ("a whole number" if _is(one, int) else "a number") + _limits(notes)
    if _is(one, str):
        return "text"
    return "a table" if _is(one, BaseModel) or typing.get_origin(one) is dict else "a list"


def _limits(notes: Iterable[Any]) -> str:
    found: dict[str, Any] = {}
    for note in notes:
        for each in note.metadata if isinstance(note, FieldInfo) else (note,):
            found |= {name: bound for name in ("ge", "le") if (bound := getattr(each, name, None)) is not None}
    low, high = found.get("ge"), found.get("le")
    if low is not None and high is not None:
        return f" from {_digits(low)} to {_digits(high)}"
    return f" of {_digits(low)} or more" if low is not None else "" if high is None else f" of {_digits(high)} or less"


def _digits(number: Any) -> str:
    if abs(number) < LONG:
        return str(number)
    for power, text in ((number, "2^{}"), (number + 1, "2^{} - 1")):
        if power > 1 << 31 and not power & (power - 1):
            return text.format(power.bit_length() - 1)
    return f"{number:,}"


def _one_of(choices: Iterable[str]) -> str:
    *others, last = choices
    return f"{', '.join(others)} or {last}" if others else last


def _is(one: Any, *kinds: type) -> bool:
    return isinstance(one, type) and issubclass(one, kinds)
