"""What a test describes, as keyword arguments or a file, made into what runs."""

from __future__ import annotations

import difflib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from kactors.engine.errors import UsageError
from kactors.expected import should_be, shown
from kactors.fault_policy import FaultPolicy
from kactors.toml_file import read_toml
from kactors.workloads import Program, Workload
from kactors.workloads.program import Body
from protocols.scenario import Scenario

MACHINE: Final = "small"
Addresses = Sequence[int] | Callable[[], Sequence[int]]


class Scene(Program):
    """A program with ranges that khugepaged collapses meanwhile.

    Args:
        workers: what each worker runs.
        set_up: what the main thread runs first.
        collapses: addresses, or a function that tells them once the set-up is done.
    """

    def __init__(self, workers: Sequence[Body], set_up: Body | None = None, collapses: Addresses = ()) -> None:
        super().__init__(workers, set_up)
        self._addresses = collapses

    def collapses(self) -> Sequence[int]:
        """Return the addresses."""
        return self._addresses() if callable(self._addresses) else self._addresses


@dataclass(frozen=True)
class Described:
    """A scenario, and the Python objects that stand in for parts of it."""

    scenario: Scenario
    workload: Workload | None = None
    policy: FaultPolicy | None = None


def describe(
    given: str | Path | Scenario | None = None,
    *,
    program: object = None,
    set_up: Body | None = None,
    collapses: Addresses = (),
    policy: str | type[FaultPolicy] | FaultPolicy | None = None,
    **fields: Any,
) -> Described:
    """Return what is described. The machine is ``small`` unless something else is said.

    Args:
        given: a scenario, or a TOML file of one; what else is given overrides it.
        program: a coroutine function for each worker, or a workload; it replaces the scenario's workload.
        set_up: what the main thread runs before a ``program`` of functions.
        collapses: addresses whose PMD ranges khugepaged is told to collapse while they run.
        policy: a policy's name, class or instance.
        fields: the fields of ``Scenario``.

    Raises:
        UsageError: naming the argument or key, and what would be right.
    """
    workload = _workload(program, set_up, collapses)
    served = policy() if inspect.isclass(policy) else policy if isinstance(policy, FaultPolicy) else None
    if served is not None:
        fields["policy"] = served.name
    elif policy is not None:
        fields["policy"] = policy
    if given is None:
        fields = {"machine": MACHINE} | fields
    if workload is not None and given is None:
        # A thread a CPU, so that a search takes it too.
        fields = {"cpus": max(workload.workers(2), 2)} | fields
    return Described(_scenario(given, fields), workload, served)


def _workload(program: object, set_up: Body | None, collapses: Addresses) -> Workload | None:
    if program is None or isinstance(program, Workload):
        if set_up is not None or collapses:
            raise UsageError("set_up and collapses belong to a program of functions: program=[fault, unmap]")
        return program
    if not (isinstance(program, Sequence) and program and all(callable(body) for body in program)):
        raise UsageError("program is a list of coroutine functions, one a worker: program=[fault, unmap]")
    return Scene(tuple(program), set_up, collapses)


def _scenario(given: str | Path | Scenario | None, fields: Mapping[str, Any]) -> Scenario:
    unknown = next((name for name in fields if name not in Scenario.model_fields), None)
    if unknown is not None:
        known = [*Scenario.model_fields, "program", "set_up", "collapses"]
        raise UsageError(f"a scenario has no {unknown}{_instead(unknown, known)}")
    try:
        if isinstance(given, Scenario):
            return Scenario.model_validate(dict(given) | dict(fields))
        read = {} if given is None else _read(Path(given))
        base = Scenario.model_validate_json(json.dumps(read, default=str), strict=True)
        return Scenario.model_validate(dict(base) | dict(fields))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        where = f"{given}: " if isinstance(given, (str, Path)) else ""
        raise UsageError(f"{where}{key} = {shown(first['input'])}: {should_be(Scenario, first)}") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_toml(path)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{path}: not TOML: {error}") from None


def _instead(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"
