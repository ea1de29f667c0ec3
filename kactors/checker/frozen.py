"""An actor's state as one hashable value, so that two histories that lead to the same state are seen to.

Nothing is declared: the walk follows attributes, closures and suspended coroutines (their code, where they stand, their
variables, and what lies on their value stacks: an iterator that a loop has half consumed). Left out is what cannot
change (profile, policy, workload), what only time depends on (cache lines), and what nobody decides by.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import types
from collections import deque
from collections.abc import Iterable, Mapping
from enum import Enum
from operator import itemgetter
from typing import Any

from pydantic import BaseModel

from kactors.engine.actor import Actor
from kactors.engine.engine import Engine
from kactors.execution import Directory
from kactors.fault_policy import FaultPolicy
from kactors.kernel.cache_line import CacheLine, Stores
from kactors.kernel.mem_map import MemMap
from kactors.system import System
from kactors.workloads import Workload
from protocols.base import Message

ATOMS = (int, str, bytes, float, types.NoneType, type, range, Enum, Message)
TIMES = (CacheLine, Stores, MemMap)
CONSTANT = (Engine, Directory, System, FaultPolicy, Workload, BaseModel, types.ModuleType, types.CodeType, *TIMES)
UNSEEN = frozenset(
    {
        "engine",
        "directory",
        "machine",
        "_handlers",
        "_others",
        "_ipi_requests",
        "last_acker",
        "spent",
        "cold",
        "left_kernel_ns",
    }
)
"""Attributes that are the same in all histories, or that only reports are made of."""

_ITERABLES: tuple[Iterable[Any], ...] = ([], (), range(0), deque(), {}, {}.items(), {}.values(), set())
ITERATORS: tuple[type, ...] = (
    *(type(iter(iterable)) for iterable in _ITERABLES),
    enumerate,
    zip,
    reversed,
    type(reversed([])),
)
PLAIN = (int, float, str, bytes, types.NoneType, tuple, list, dict, set, frozenset, deque)
SUSPENDED = (types.CoroutineType, types.GeneratorType)

Frozen = Any


def freeze(thing: object) -> Frozen:
    """Return a hashable value: equal for two states from which the same can happen.

    Raises:
        TypeError: something holds a kind of object that the walk does not know.
    """
    return _Walk(thing).value(thing, is_root=True)


def is_ours(kind: type[object]) -> bool:
    """Return whether a class is one of kactors, of which it is known what it does; no user's own."""
    return kind.__module__.startswith("kactors.")


def freeze_classes(thing: object) -> Frozen:
    """Return the plain data that a user's own classes hold for all of their objects: no copy of these has its own."""
    held: list[Frozen] = []
    for kind in type(thing).__mro__:
        if kind is object or is_ours(kind):
            continue
        for name, value in vars(kind).items():
            # What the walk does not know (a regular expression, say) is no memory.
            with contextlib.suppress(TypeError):
                held.append((name, freeze(value) if isinstance(value, PLAIN) and name[:2] != "__" else None))
    return held


class _Walk:
    """One walk: an object that is met again is named by the number of its first visit, so that aliases count."""

    def __init__(self, root: object) -> None:
        self._root = root
        self._visits: dict[int, int] = {}
        self._kept: list[object] = []

    def value(self, thing: Any, *, is_root: bool = False) -> Frozen:
        if isinstance(thing, ATOMS):
            return thing
        if isinstance(thing, Actor) and not is_root:
            return ("actor", thing.id)
        if isinstance(thing, CONSTANT):
            # Whoever runs the actors makes no difference to them.
            return Engine if isinstance(thing, Engine) else type(thing)
        if type(thing) is tuple:
            return tuple([self.value(part) for part in thing])
        visit = self._visits.get(id(thing))
        if visit is not None:
            return ("again", visit)
        self._visits[id(thing)] = len(self._visits)
        # What the walk itself makes must not give its address to another object.
        self._kept.append(thing)
        return self._mutable(thing)

    def _mutable(self, thing: Any) -> Frozen:
        if isinstance(thing, Mapping):
            return (type(thing), self._pairs(thing))
        if isinstance(thing, bytearray):
            return bytes(thing)
        if isinstance(thing, (list, deque)):
            return (type(thing), tuple([self.value(part) for part in thing]))
        if isinstance(thing, (set, frozenset)):
            return frozenset(self.value(part) for part in thing)
        if isinstance(thing, SUSPENDED):
            return self._suspended(thing)
        if isinstance(thing, ITERATORS):
            return (type(thing), self.value(thing.__reduce__()[1:]))
        return self._callable(thing) if callable(thing) else self._attributes(thing)

    def _callable(self, thing: Any) -> Frozen:
        if isinstance(thing, types.FunctionType):
            return (thing.__code__, self.value(thing.__closure__ or ()), self.value(thing.__defaults__ or ()))
        if isinstance(thing, types.MethodType):
            return (thing.__func__.__code__, self.value(thing.__self__))
        if isinstance(thing, functools.partial):
            return (self.value(thing.func), self.value(thing.args), self._pairs(thing.keywords))
        if isinstance(thing, types.BuiltinFunctionType):
            return (thing.__qualname__, self.value(thing.__self__))
        return self._attributes(thing)

    def _pairs(self, mapping: Mapping[Any, Any]) -> Frozen:
        """Return the items by ascending key where keys can be ordered: nothing here depends on insertion order."""
        items: list[tuple[Any, Any]] = list(mapping.items())
        if _have_an_order(mapping):
            items.sort(key=itemgetter(0))
        return tuple([(self.value(key), self.value(value)) for key, value in items])

    def _suspended(self, thing: Any) -> Frozen:
        frame = thing.cr_frame if isinstance(thing, types.CoroutineType) else thing.gi_frame
        if frame is None:
            return "ended"
        skipped = (id(frame), id(frame.f_globals), id(frame.f_builtins), id(frame.f_code))
        held = [part for part in gc.get_referents(thing) if id(part) not in skipped]
        return (frame.f_code, frame.f_lasti, tuple([self.value(part) for part in held]))

    def _attributes(self, thing: Any) -> Frozen:
        if isinstance(thing, types.CellType):
            return self._cell(thing)
        kind: Any = type(thing)
        names = _slots(kind)
        attributes = {name: getattr(thing, name) for name in names if hasattr(thing, name)} | vars_of(thing)
        if not attributes and not names and not hasattr(thing, "__dict__"):
            raise TypeError(f"cannot freeze {thing!r} ({type(thing)}), which {self._root!r} holds")
        seen = sorted(attributes.keys() - UNSEEN)
        return (kind, tuple([(name, self.value(attributes[name])) for name in seen]))

    def _cell(self, cell: types.CellType) -> Frozen:
        """A variable that a closure shares; it may not have been given a value yet."""
        try:
            return self.value(cell.cell_contents)
        except ValueError:
            return "no value yet"


def _have_an_order(keys: Iterable[Any]) -> bool:
    """Return whether keys are numbers, names, or tuples of these, all built alike."""
    shapes = {tuple(map(type, key)) if type(key) is tuple else (type(key),) for key in keys}
    return len(shapes) == 1 and set(shapes.pop()) <= {int, str}


def vars_of(thing: object) -> dict[str, Any]:
    """Return an object's own attributes; empty for one with slots only."""
    return getattr(thing, "__dict__", {})


@functools.cache
def _slots(kind: Any) -> tuple[str, ...]:
    return tuple(name for base in kind.__mro__ for name in base.__dict__.get("__slots__", ()) if name != "__weakref__")
