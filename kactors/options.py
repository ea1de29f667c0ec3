"""Options of a workload or a policy as a pydantic model, with errors that name the option."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kactors.engine.errors import UsageError
from kactors.expected import should_be, shown

Threads = Annotated[int, Field(ge=1, le=65_536)]
"""As many as a scenario may have."""
Bytes = Annotated[int, Field(ge=1, le=1 << 46)]
"""Up to 64 TiB, half of what x86 gives a process."""
Times = Annotated[int, Field(ge=1, le=1_000_000_000)]
"""How many there are of something, or how often it is done."""
Nanoseconds = Annotated[int, Field(ge=0, le=1_000_000_000_000)]
"""Up to a quarter of an hour of virtual time."""


class Options(BaseModel):
    """The base: no options. A workload's names are the real program's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def parse(cls, owner: str, options: Mapping[str, Any]) -> Self:
        """Validate the options of the workload or policy called ``owner``.

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
                raise UsageError(f"{owner} has no option {key}; {known}") from None
            if first["type"] == "missing":
                raise UsageError(f"{owner} needs the option {key}") from None
            where = f"{owner}: {key} = {shown(first.get('input'))}" if key else owner
            raise UsageError(f"{where}: {should_be(cls, first)}") from None
