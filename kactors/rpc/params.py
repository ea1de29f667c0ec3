"""What a method is asked with: from what came over the wire to its model, or to lines that say what is wrong.

Params are checked as JSON is: strictly, but a list may be a tuple and a string an enum. Nothing else is converted, also
not inside a Scenario, which from a TOML file takes "1" for 1: an int is then never longer than 64 bits.
"""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from kactors.expected import should_be
from protocols.service.base import Params
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.methods import Method

ERRORS_MAX = 20
"""So many wrong keys are named, so that an answer is not much longer than what it answers."""
_SHOWN_MAX = 60
_to_json = json.JSONEncoder(allow_nan=False).encode


def validate(method: Method, params: Sequence[Any]) -> Params:
    """Return the method's params.

    Args:
        method: which.
        params: as decoded: ``[]`` or ``[{...}]``.

    Raises:
        ServiceError: INVALID_PARAMS; ``data.errors`` has a line for each key that is wrong.
    """
    match params:
        case []:
            given: dict[Any, Any] = {}
        case [dict(given)]:
            pass
        case _:
            got = f"{len(params)} values" if len(params) != 1 else _shown(params[0])
            raise _refused(method, [f"params are [] or [a map of named values], not {got}"])
    try:
        return method.params.model_validate_json(_to_json(given), strict=True)
    except ValidationError as error:
        raise _refused(method, list(_lines(method.params, error, given))) from error
    except TypeError as error:
        raise _refused(
            method, ["a binary value; only strings, numbers, booleans, nil, lists and maps are used"]
        ) from error
    except ValueError as error:
        raise _refused(method, ["a number that is infinite or not a number"]) from error


def _refused(method: Method, lines: list[str]) -> ServiceError:
    more = f" (and {len(lines) - 1} more, see data.errors)" if len(lines) > 1 else ""
    return ServiceError(ErrorCode.INVALID_PARAMS, f"{method.name}: {lines[0]}{more}", {"errors": lines})


def _lines(model: type[BaseModel], error: ValidationError, given: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each place that is wrong."""
    if error.error_count() > 10 * ERRORS_MAX:  # pydantic would tell all of them, and a client can send many
        yield f"{error.error_count()} things are wrong; the keys here are {_names(model)}"
        return
    lines: dict[str, str] = {}
    # Unknown keys first: where one is misspelt, another is missing.
    for detail in sorted(error.errors(include_url=False), key=lambda detail: detail["type"] != "extra_forbidden"):
        place, owner = _place(model, detail["loc"], given)
        where, what = _told(model, dict(detail), place, owner)
        # A value that is none of several types is told of once, and not for each of them.
        lines.setdefault(where, f"{where}: {what}")
    yield from list(lines.values())[:ERRORS_MAX]
    if len(lines) > ERRORS_MAX:
        yield f"... and {len(lines) - ERRORS_MAX} more"


def _told(model: type[BaseModel], detail: dict[str, Any], place: str, owner: type[BaseModel] | None) -> tuple[str, str]:
    """Return where something is wrong, and what would be right."""
    context = detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            return place, "unknown key" + (f"; the keys here are {_names(owner)}" if owner else "")
        case "missing":
            return place, "missing"
        case "union_tag_not_found":
            return f"{place}.{context['discriminator'].strip(chr(39))}", "missing"
        case "union_tag_invalid":
            tag = f"{place}.{context['discriminator'].strip(chr(39))}"
            return tag, f"should be one of {context['expected_tags']} (got {_shown(context['tag'])})"
    right = should_be(model, detail).replace("a table", "a map")
    return place, f"{right[:1].lower()}{right[1:]} (got {_shown(detail['input'])})"


def _place(model: type[BaseModel], location: tuple[int | str, ...], given: Any) -> tuple[str, type[BaseModel] | None]:
    """Return a place's keys as they were sent, joined by dots, and the model that the last of them belongs to.

    pydantic's location names also which of several models or types was tried: these are no keys.
    """
    names: list[str] = []
    candidates: tuple[type[BaseModel], ...] = (model,)
    owner: type[BaseModel] | None = model
    for part in location:
        if isinstance(part, int) and isinstance(given, list):
            names.append(str(part))
            given = given[part] if part < len(given) else None
        elif len(candidates) > 1 and (tagged := [one for one in candidates if part in _tags(one)]):
            candidates = tuple(tagged)
        elif isinstance(given, dict):
            names.append(_clip(str(part)))
            given = given.get(part)
            owner = candidates[0] if candidates else None
            field = owner.model_fields.get(str(part)) if owner else None
            candidates = tuple(_models(field.annotation)) if field else ()
        else:
            break
    return ".".join(names) or "params", owner


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models of which a value may be one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _models(part)


def _tags(model: type[BaseModel]) -> set[Any]:
    """Return the defaults of a model's fields; its discriminator's is the tag that pydantic knows it by."""
    return {field.default for field in model.model_fields.values() if isinstance(field.default, str)}


def _names(model: type[BaseModel]) -> str:
    return ", ".join(model.model_fields) or "none"


def _shown(value: Any) -> str:
    """Return a value in few characters."""
    match value:
        case None:
            return "nil"
        case dict():
            return "a map"
        case list() | tuple():
            return "a list"
        case bytes():
            return "binary"
    return _clip(json.dumps(value, ensure_ascii=False))


def _clip(text: str) -> str:
    shown = text.encode("unicode_escape").decode() if not text.isprintable() else text
    return shown if len(shown) <= _SHOWN_MAX else f"{shown[: _SHOWN_MAX - 3]}..."
