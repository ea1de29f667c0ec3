"""Writes docs/policy-api.md from the docstrings of what a policy may use: ``python -m kactors.report.policy_api``."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kactors.context import KernelContext
from kactors.execution import Execution
from kactors.fault_context import FaultContext
from kactors.fault_policy import FaultPolicy
from kactors.vma_context import VmaContext

COMMAND = "python -m kactors.report.policy_api"
PAGE = Path(__file__).parents[2] / "docs" / "policy-api.md"

_HEAD = f"""\
# What a policy may use

Written by `{COMMAND}` from the docstrings. Step names (A8, C12, ...) are those of the kernel's protocols in MODEL.md.
Times are in ns of virtual time, addresses in bytes. What is marked `await` asks another actor and goes on with its
answer: the CPU waits there, and in a search anything may happen in between. The rest is a plain call: it only tells,
or is the CPU's own affair.
[write-a-policy.md](write-a-policy.md) uses it.
"""

_PARTS: tuple[tuple[type[Any], str], ...] = (
    (FaultPolicy, "The policy: what to override"),
    (FaultContext, "On a CPU: `cpu` in `fault`"),
    (VmaContext, "On a CPU: VMAs without mmap_sem"),
    (KernelContext, "On a CPU and in khugepaged: `context` in writers' hooks, `cpu` too"),
    (Execution, "Time and requests, everywhere"),
)

_MACHINERY = frozenset({"receive", "arrived", "processes", "blocked", "take_ack", "let_go", "ptl", "sleep", "sync"})
"""Public for the model's other actors, not for policies."""


def page() -> str:
    """Return the page as Markdown."""
    return "\n".join([_HEAD, *(line for cls, title in _PARTS for line in _part(cls, title))]) + "\n"


def methods(cls: type[Any]) -> dict[str, Any]:
    """Return the public methods that a class itself defines, in the order of its source."""
    found = {}
    for name, value in vars(cls).items():
        function = value.__func__ if isinstance(value, classmethod) else value
        if inspect.isfunction(inspect.unwrap(function)) and not name.startswith("_") and name not in _MACHINERY:
            found[name] = function
    return found


def _part(cls: type[Any], title: str) -> Iterator[str]:
    yield from (f"## {title}", "")
    for name, function in methods(cls).items():
        signature = inspect.signature(function)
        own = [parameter for parameter in signature.parameters.values() if parameter.name not in ("self", "cls")]
        shown = str(signature.replace(parameters=own)).replace("'", "")
        awaits = "await " if inspect.iscoroutinefunction(inspect.unwrap(function)) or name == "ask" else ""
        yield from (f"### {name}", "", f"`{awaits}{name}{shown}`", "", inspect.getdoc(function) or "", "")


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")


if __name__ == "__main__":
    main()
