"""Simulates page-fault concurrency with message-passing actors in virtual time."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kactors.run import Machine, run
    from protocols.result import Result
    from protocols.scenario import Scenario

__all__ = ["Machine", "Result", "Scenario", "run"]

_HOMES = {"Machine": "kactors.run", "Result": "protocols.result", "Scenario": "protocols.scenario"}


class _Package(ModuleType):
    """The package as a module that loads what is asked of it, when it is asked.

    pytest loads ``kactors.pytest_plugin``, and with it this package, in every project of a user who has kactors
    installed, and before coverage is measured: nothing else may be loaded with it.
    """

    @property
    def run(self) -> Any:
        """The function; the submodule of the same name is ``sys.modules["kactors.run"]``."""
        return import_module("kactors.run").run

    @run.setter
    def run(self, submodule: ModuleType) -> None:
        """Do without what an import binds in a package: the submodule."""

    def __getattr__(self, name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)


sys.modules[__name__].__class__ = _Package
