"""Options of a workload as a pydantic model, with errors that name the option."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, Self, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from kactors.engine.errors import UsageError
from kactors.workloads.base import Workload


class Options(BaseModel):
    """The base: names are the real program's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def parse(cls, workload: str, options: Mapping[str, Any]) -> Self:
        """Validate the options.

        Raises:
            UsageError: naming the first wrong one, and what would be right.
        """
        try:
            return cls.model_validate(dict(options))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            if first["type"] == "extra_forbidden":
                near = difflib.get_close_matches(key, cls.model_fields, n=1)
                known = f"did you mean {near[0]}?" if near else f"it has {', '.join(cls.model_fields) or 'none'}"
                raise UsageError(f"{workload} has no option {key}; {known}") from None
            raise UsageError(f"{workload}: {key} = {first.get('input')!r}: {first['msg']}") from None


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
