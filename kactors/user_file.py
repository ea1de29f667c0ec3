"""A class that a user wrote: ``path/mine.py:Mine``, and one line that says what is wrong with it."""

from __future__ import annotations

import importlib.util
import inspect
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from kactors.engine.errors import UsageError

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
    found = getattr(module, class_name, None) if class_name else None
    if not (inspect.isclass(found) and issubclass(found, base) and not inspect.isabstract(found)):
        stem = Path(path_text).stem
        own = [key for key, value in vars(module).items() if inspect.isclass(value) and value.__module__ == stem]
        wanted = class_name or "a class name after the colon"
        there = ", ".join(own) or "none"
        raise UsageError(
            f"{option} {spec}: {wanted} is no complete {base.__name__} in {path_text}; classes there: {there}"
        )
    return found


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
    except Exception as error:
        raise UsageError(f"{option} {spec}: {path_text} cannot be loaded: {type(error).__name__}: {error}") from error
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
            return f"{_LOADED[place.filename]}:{place.lineno} in {place.name}: {type(at).__name__}: {at}"
        at = at.__cause__
    return None
