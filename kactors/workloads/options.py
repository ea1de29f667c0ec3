"""A workload that its options describe wholly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Generic, Self, TypeVar, cast

from kactors.options import Options
from kactors.workloads.base import Workload

__all__ = ["Configured", "Options"]

OptionsT = TypeVar("OptionsT", bound=Options)


class Configured(Workload, Generic[OptionsT]):
    """A workload that its options describe wholly."""

    options_type: ClassVar[type[Options]]

    def __init__(self, options: OptionsT) -> None:
        self._options = options

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """Build it from a scenario's options."""
        return cls(cast(OptionsT, cls.options_type.parse(cls.name, options)))
