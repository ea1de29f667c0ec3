"""A class that a user wrote: ``path/mine.py:Mine``, and one line that says what is wrong with it."""

from __future__ import annotations

import importlib.util
import inspect
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from kactors.engine.errors import UsageError
from kactors.expected import shown

_LOADED: dict[str, str] = {}
"""Files that were loaded: as Python names them, and as the user does."""


def names_a_file(name: str) -> bool:
    """Return whether a name has a file in it; otherwise it is one of ours."""
    return ":" in name or name.endswith(".py")


def class_from_file(option: str, spec: str, base: type[Any]) -> type[Any]:
    """Load the class that ``spec`` names, a complete subclass of ``base``.

    Args:
        option: what the user wrote ``spec`` behind, for the error's line: ``--policy``.
        spec: ``path/mine.py:Mine``.
        base: what the class must be.

    Raises:
        UsageError: no such file or class, or it cannot be loaded.
    """
    path_text, _, class_name = spec.partition(":")
    module = _load(option, spec, path_text)
    stem = Path(path_text).stem
    own = [key for key, value in vars(module).items() if inspect.isclass(value) and value.__module__ == stem]
    there = f"classes there: {', '.join(own) or 'none'}"
    if not class_name:
        raise UsageError(f"{option} {spec}: name a class behind a colon, as in {path_text}:Mine; {there}")
    found = getattr(module, class_name, None)
    if not (inspect.isclass(found) and issubclass(found, base)):
        what = "it is not derived from that" if inspect.isclass(found) else f"there is no class {class_name}"
        raise UsageError(
            f"{option} {spec}: {class_name} is no complete {base.__name__} in {path_text}: {what}; {there}"
        )
    for gap in _gaps(found, base):
        raise UsageError(f"{option} {spec}: {class_name} is no complete {base.__name__} in {path_text}: {gap}")
    return found


def _gaps(found: type[Any], base: type[Any]) -> Iterator[str]:
    """Yield what keeps a class from standing where its base is expected."""
    for key in sorted(getattr(found, "__abstractmethods__", ())):
        yield f"it has no {key}()"
    try:
        inspect.signature(found).bind()
    except TypeError:
        yield "its __init__ should take nothing but self"
    for key, theirs in inspect.getmembers(base, inspect.isfunction):
        ours = getattr(found, key)
        if ours is theirs or key.startswith("_"):
            continue
        if inspect.iscoroutinefunction(theirs) and not inspect.iscoroutinefunction(ours):
            yield f"{key}() should be written with async def"
        elif not _takes(ours, theirs):
            yield f"{key}() should take ({_parameters(theirs)})"


def _takes(ours: Callable[..., Any], theirs: Callable[..., Any]) -> bool:
    """Whether the one can be called as the other is."""
    parameters = inspect.signature(theirs).parameters.values()
    named = {each.name: None for each in parameters if each.kind is each.KEYWORD_ONLY}
    try:
        inspect.signature(ours).bind(*(each for each in parameters if each.kind is not each.KEYWORD_ONLY), **named)
    except TypeError:
        return False
    return True


def _parameters(method: Callable[..., Any]) -> str:
    bare = [each.replace(annotation=each.empty) for each in inspect.signature(method).parameters.values()]
    return str(inspect.Signature(bare))[1:-1]


def _load(option: str, spec: str, path_text: str) -> ModuleType:
    path = Path(path_text)
    if path.suffix != ".py":
        raise UsageError(f"{option} {spec}: {path_text} is no Python file; its name must end in .py")
    if not path.is_file():
        raise UsageError(f"{option} {spec}: there is no file {path_text}")
    module_spec = importlib.util.spec_from_file_location(path.stem, path)
    if module_spec is None or module_spec.loader is None:
        raise UsageError(f"{option} {spec}: {path_text} cannot be imported")
    _LOADED[str(module_spec.origin)] = path_text
    module = importlib.util.module_from_spec(module_spec)
    try:
        module_spec.loader.exec_module(module)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename in _LOADED]
        where = f"line {lines[-1]}: " if lines else ""  # a SyntaxError has its line in its text
        raise UsageError(f"{option} {spec}: {path_text} cannot be loaded: {where}{described(error)}") from error
    return module


def blamed(error: BaseException) -> str | None:
    """Return where in a user's own file an error arose, and what it is; None when no file of his has to do with it."""
    at: BaseException | None = error
    while at is not None:
        if isinstance(at, UsageError):
            return str(at)
        frames = [frame for frame in traceback.extract_tb(at.__traceback__) if frame.filename in _LOADED]
        if frames:
            place = frames[-1]
            return f"{_LOADED[place.filename]}:{place.lineno} in {place.name}: {described(at)}"
        at = at.__cause__
    return None


def described(error: BaseException | None) -> str:
    """Return an error's name and what it says, of pydantic's the first thing that is wrong."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        wrong = f"{key} = {shown(first.get('input'))}: {first['msg'].replace('Input should', 'should')}"
        return f"ValidationError: {error.title}: {wrong}"
    return str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {error}"
