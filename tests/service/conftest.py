"""A service of one's own, and somebody who talks to it."""

import pytest

from tests.service.talk import serving, talking


@pytest.fixture
async def talk(tmp_path):
    async with serving(tmp_path), talking(tmp_path / "k.sock") as talk:
        yield talk
