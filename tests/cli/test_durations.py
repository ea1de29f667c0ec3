"""--until's times."""

import pytest

from kactors.cli.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("20ms", 20_000_000),
        ("1.5s", 1_500_000_000),
        ("500us", 500_000),
        ("7ns", 7),
        ("123", 123),
        ("0.1s", 100_000_000),
        ("0.000000001s", 1),
        ("1.000000001s", 1_000_000_001),
        (" 5 ms ", 5_000_000),
        ("99999999s", 99_999_999 * 10**9),
    ],
)
def test_a_time_is_exact(text, ns):
    assert parse_duration(text) == ns


@pytest.mark.parametrize(
    "text",
    ["", "0", "0ms", "-5ms", "soon", "5m", "5 minutes", "1e6", "0x10", "1.s", ".5s", "1,5s", "5MS", "0.5ns", "٣ms"],
)
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match=r"20ms, 1\.5s, 500us"):
        parse_duration(text)
