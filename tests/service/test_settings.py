"""Limits as the command line gives them."""

import pytest

from kactors.engine.errors import UsageError
from kactors.service.settings import LIMITS, limits_from_words


def test_what_is_given_replaces_what_is_there():
    limits = limits_from_words(LIMITS, ["sessions_max=3", "half_message_s=0.5", "depth_max=256"])
    assert limits == LIMITS.model_copy(update={"sessions_max": 3, "half_message_s": 0.5, "depth_max": 256})


@pytest.mark.parametrize(
    "word",
    [
        "sessions=3",
        "sessions_max",
        "sessions_max=",
        "sessions_max=many",
        "sessions_max=0",
        "sessions_max=-1",
        "half_message_s=nan",
        "half_message_s=inf",
        "depth_max=257",
        f"message_bytes_max={2**70}",
    ],
)
def test_what_cannot_be_is_refused_by_name(word):
    with pytest.raises(UsageError, match=f"^--limit {word}: "):
        limits_from_words(LIMITS, [word])
