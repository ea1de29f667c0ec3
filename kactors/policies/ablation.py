"""A policy without some of its checks: as a class, and as a name that a service and a replay understand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from kactors.fault_policy import FaultPolicy

WITHOUT: Final = "-without-"
PLUS: Final = "+"


def without(policy: type[FaultPolicy], names: Iterable[str]) -> type[FaultPolicy]:
    """Return the policy without the named checks; the policy itself when there are none.

    Raises:
        UsageError: the policy has no check of one of the names.
    """
    dropped = tuple(check.name for check in policy.named_checks(names))
    if not dropped:
        return policy
    text = f"{policy.__name__} without {', '.join(dropped)}."
    attributes = {"name": ablated_name(policy.name, dropped), "drops": dropped, "__doc__": text}
    return type(f"{policy.__name__}Without", (policy,), {**attributes, "__module__": policy.__module__})


def ablated_name(base: str, names: Iterable[str]) -> str:
    """Return the name of a policy without some of its checks: spf-v9-without-pmd_check+trylock."""
    dropped = PLUS.join(names)
    return f"{base}{WITHOUT}{dropped}" if dropped else base


def split_name(name: str) -> tuple[str, tuple[str, ...]]:
    """Return the policy's own name and the names of the checks that it goes without, none by default."""
    path, colon, own = name.rpartition(":")  # a path may contain anything, this word too
    base, found, dropped = own.rpartition(WITHOUT)
    if not found or not base or own.endswith(".py"):
        return name, ()
    return f"{path}{colon}{base}", tuple(dropped.split(PLUS))
