"""A store that is closed at the end of its test."""

from contextlib import closing

import pytest

from kactors.service.store import Store


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sessions.db"


@pytest.fixture
def store(path):
    with closing(Store.open(path)) as opened:
        yield opened
