"""TOML files as users have them."""

from __future__ import annotations

import tomllib
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any


def read_toml(file: Path | Traversable) -> dict[str, Any]:
    """Return what a file holds.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no TOML, or no text; the message says where.
    """
    # Editors on Windows put a byte order mark before the first line, which is no TOML.
    text = file.read_text(encoding="utf-8-sig")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
