"""The base of everything that crosses the service's socket, and the units of its numbers."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

SessionId = Annotated[
    str, Field(min_length=1, max_length=64, description="a session's name, as sim.create returned it")
]
Name = Annotated[str, Field(min_length=1, max_length=128)]
Positive = Annotated[int, Field(ge=1, le=2**62)]
Natural = Annotated[int, Field(ge=0, le=2**62)]


class Params(BaseModel):
    """What a method is asked with: strict, frozen, closed, so that a misspelt key is refused by name."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Reply(BaseModel):
    """What a method answers. A client ignores keys that it does not know: a later version may tell more."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Nothing(Params):
    """No params: ``[]`` or ``[{}]``."""
