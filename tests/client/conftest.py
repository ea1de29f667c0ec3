"""A client of a service, with somebody in between."""

import pytest

from kactors.client import open_client
from tests.client.relay import relaying
from tests.service.talk import serving


@pytest.fixture
async def line(tmp_path):
    """A client whose connection may be lost: (client, relay)."""
    async with (
        serving(tmp_path),
        relaying(tmp_path / "k.sock", tmp_path / "r.sock") as relay,
        open_client(f"unix:{tmp_path}/r.sock", client="me") as client,
    ):
        yield client, relay
