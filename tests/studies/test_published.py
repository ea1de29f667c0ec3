"""The published figures agree with what their own source says of them."""

import pytest

from kactors.machines import load_machine
from kactors.studies import published
from kactors.studies.published import COUNTERS, MAIL, SERIES


@pytest.mark.parametrize(
    ("table", "gain", "fast", "residual"), [(MAIL[0], 5.4355, 99.62, 833), (MAIL[1], 1.0995, 95.61, 129)]
)
def test_the_mails_own_percentages_follow_from_its_figures(table, gain, fast, residual):
    assert table.gain - 1 == pytest.approx(gain, abs=5e-5)
    assert 100 * (1 - table.not_speculative) == pytest.approx(fast, abs=0.005)
    assert table.residual == residual


@pytest.mark.parametrize("machine", [published.X86, published.P8, published.ZEN4])
def test_a_machine_of_a_published_figure_has_a_profile(machine):
    assert load_machine(machine).name == machine


def test_counters_of_the_series_are_counters_of_the_mail():
    told = {name for row in SERIES for counters in row.counters.values() for name in counters}
    assert told <= set(COUNTERS)
    assert all(tuple(table.counters) == COUNTERS for table in MAIL)


def test_each_version_tells_something_and_says_where_from():
    assert all((row.rates or row.counters) and row.source for row in SERIES)
    assert [row.version for row in SERIES] == ["v1", "v2", "v3", "v6", "v7", "v8"]
