"""Fault policies by name. One protocol a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kactors.engine.errors import UsageError
from kactors.fault_policy import FaultPath, FaultPolicy
from kactors.policies.ablation import split_name, without
from kactors.policies.broken import BROKEN
from kactors.policies.classic import Classic
from kactors.policies.per_vma_6_4 import PerVma64
from kactors.policies.per_vma_6_15 import PerVma615
from kactors.policies.spf_2021 import Spf2021
from kactors.policies.spf_rcu import SpfRcu
from kactors.policies.spf_srcu import SpfSrcu
from kactors.policies.spf_v9 import SpfV9
from kactors.policies.spf_v11 import SpfV11
from kactors.user_file import class_from_file, names_a_file

POLICIES: dict[str, type[FaultPolicy]] = {
    policy.name: policy for policy in (Classic, SpfSrcu, SpfV9, SpfV11, SpfRcu, Spf2021, PerVma64, PerVma615)
}
"""In the order of their years."""

ALIASES: dict[str, str] = {"per-vma": PerVma615.name}
"""Names that a policy had before: scenarios, logs and stores have them."""

__all__ = [
    "ALIASES",
    "BROKEN",
    "POLICIES",
    "FaultPath",
    "FaultPolicy",
    "find_policy",
    "load_policy",
    "policy_file",
    "without",
]


def load_policy(name: str, options: Mapping[str, Any] | None = None) -> FaultPolicy:
    """Return a policy of the class that ``find_policy`` finds, with these options.

    Raises:
        UsageError: no such policy, check, file, class or option, or a value that an option cannot have.
    """
    return find_policy(name).from_options(options or {})


def find_policy(name: str) -> type[FaultPolicy]:
    """Return the policy class of that name.

    Args:
        name: one of ours, or one that it had before; the class of a user's file, as in ``path/mine.py:Mine``; or
            either without some of its checks, as in ``spf-v9-without-pmd_check+trylock``.

    Raises:
        UsageError: no such policy, check, file or class.
    """
    base, dropped = split_name(name)
    if dropped:
        return without(find_policy(base), dropped)
    if policy_file(name) is not None:
        found: type[FaultPolicy] = class_from_file("--policy", name, FaultPolicy)
        if not isinstance(getattr(found, "name", None), str):
            raise UsageError(f"--policy {name}: the class has no name (a string), under which its results are told")
        return found
    policy = POLICIES.get(ALIASES.get(name, name)) or BROKEN.get(name)
    if policy is None:
        raise UsageError(
            f"--policy {name}: no such policy; there are {', '.join(POLICIES)}, and FILE.py:CLASS for your own"
        )
    return policy


def policy_file(name: str) -> str | None:
    """Return the path that a policy's name has in it, or None: it is one of ours."""
    return name.partition(":")[0] if names_a_file(name) else None
