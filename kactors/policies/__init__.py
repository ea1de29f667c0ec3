"""Fault policies by name. One protocol a file."""

from __future__ import annotations

import importlib.util
import inspect
from pathlib import Path

from kactors.engine.errors import UsageError
from kactors.fault_policy import FaultPath, FaultPolicy
from kactors.policies.ablation import split_name, without
from kactors.policies.broken import BROKEN
from kactors.policies.classic import Classic
from kactors.policies.per_vma import PerVma
from kactors.policies.spf_v9 import SpfV9

POLICIES: dict[str, type[FaultPolicy]] = {policy.name: policy for policy in (Classic, SpfV9, PerVma)}

__all__ = ["BROKEN", "POLICIES", "FaultPath", "FaultPolicy", "find_policy", "load_policy", "policy_file", "without"]


def load_policy(name: str) -> FaultPolicy:
    """Return a policy of the class that ``find_policy`` finds.

    Raises:
        UsageError: no such policy, check, file or class.
    """
    return find_policy(name)()


def find_policy(name: str) -> type[FaultPolicy]:
    """Return the policy class of that name.

    Args:
        name: one of ours; the class of a user's file, as in ``path/mine.py:Mine``; or either without some of its
            checks, as in ``spf-v9-without-pmd_check+trylock``.

    Raises:
        UsageError: no such policy, check, file or class.
    """
    base, dropped = split_name(name)
    if dropped:
        return without(find_policy(base), dropped)
    if policy_file(name) is not None:
        return _from_file(name)
    policy = POLICIES.get(name) or BROKEN.get(name)
    if policy is None:
        raise UsageError(
            f"--policy {name}: no such policy; there are {', '.join(POLICIES)}, and FILE.py:CLASS for your own"
        )
    return policy


def policy_file(name: str) -> str | None:
    """Return the path that a policy's name has in it, or None: it is one of ours."""
    return name.partition(":")[0] if ":" in name or name.endswith(".py") else None


def _from_file(spec: str) -> type[FaultPolicy]:
    path_text, _, class_name = spec.partition(":")
    path = Path(path_text)
    if path.suffix != ".py":
        raise UsageError(f"--policy {spec}: {path_text} is no Python file; its name must end in .py")
    if not path.is_file():
        raise UsageError(f"--policy {spec}: there is no file {path_text}")
    module_spec = importlib.util.spec_from_file_location(path.stem, path)
    if module_spec is None or module_spec.loader is None:
        raise UsageError(f"--policy {spec}: {path_text} cannot be imported")
    module = importlib.util.module_from_spec(module_spec)
    try:
        module_spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"--policy {spec}: {path_text} cannot be loaded: {type(error).__name__}: {error}") from error
    found = getattr(module, class_name, None) if class_name else None
    if not (inspect.isclass(found) and issubclass(found, FaultPolicy) and not inspect.isabstract(found)):
        own = [name for name, value in vars(module).items() if inspect.isclass(value) and value.__module__ == path.stem]
        wanted = class_name or "a class name after the colon"
        there = ", ".join(own) or "none"
        raise UsageError(f"--policy {spec}: {wanted} is no complete FaultPolicy in {path_text}; classes there: {there}")
    return found
