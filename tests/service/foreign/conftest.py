"""One service for each module of tests."""

import pytest

from tests.service.foreign.served import service


@pytest.fixture(scope="module")
def served():
    with service() as addresses:
        yield addresses
