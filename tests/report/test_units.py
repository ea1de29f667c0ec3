"""Numbers as people read them."""

import pytest

from kactors.report.units import count, duration, exact, gain, moment, percent, size


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 ns"),
        (6, "6 ns"),
        (999, "999 ns"),
        (1_000, "1.00 us"),
        (5_140, "5.14 us"),
        (38_570, "38.6 us"),
        (999_499, "999 us"),
        (999_960, "1.00 ms"),
        (12_345_678, "12.3 ms"),
        (9_996_000, "10.0 ms"),
        (2_000_000_000, "2.00 s"),
        (2_716_000_000_000, "2,716 s"),
    ],
)
def test_a_time_has_three_digits_and_its_unit(ns, text):
    assert duration(ns) == text


@pytest.mark.parametrize(
    ("amount", "text"), [(0, "0 B"), (512, "512 B"), (1023, "1,023 B"), (4096, "4.00 KiB"), (1 << 30, "1.00 GiB")]
)
def test_memory_has_binary_units(amount, text):
    assert size(amount) == text


def test_an_instant_is_exact():
    assert moment(7_069_881) == "7.069881 ms"
    assert moment(7_000_001) == "7.000001 ms"
    assert moment(1_234_000_000_005) == "1,234,000.000005 ms"


@pytest.mark.parametrize(("ns", "text"), [(20_000_000, "20ms"), (1_500_000_000, "1500ms"), (3, "3ns"), (10**9, "1s")])
def test_an_exact_time_loses_nothing(ns, text):
    assert exact(ns) == text


def test_gains_are_the_review_mails():
    assert gain(95905.16, 14902.6) == "+543.5 %"
    assert gain(78185.67, 37240.24) == "+109.9 %"
    assert gain(50, 100) == "-50.0 %"
    assert gain(5, 0) == "-"


def test_shares_and_counts():
    assert percent(1, 8) == "12.5 %"
    assert percent(0, 0) == "-"
    assert count(1234567.4) == "1,234,567"
