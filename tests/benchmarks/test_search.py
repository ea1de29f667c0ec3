"""The search benchmark runs, prints its rows, and counts what the strategies did. Nothing is timed."""

import pytest

from benchmarks import search
from kactors.checker.strategies.strategy import Budget


def test_it_prints_a_row_for_each_strategy_and_the_reduction_of_each_scene(capsys: pytest.CaptureFixture[str]):
    search.main(["--quick"])
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["strategy", "schedules", "deliveries", "each", "schedules/s"]
    rows = [line.split() for line in lines[: len(search.DRAWING)]]
    assert [(name, schedules) for name, schedules, *_ in rows] == [(name, "200") for name in search.DRAWING]
    assert all(40 < float(each) < 80 for _, _, each, _ in rows)
    text = "\n".join(lines)
    assert "schedules/s on one core, target 3,000: " in text
    assert text.count("reduction: ") == len(search.SCENES)


def test_reduction_spares_most_interleavings():
    for scenario in search.SCENES.values():
        plain, reduced = (search.search(scenario, name, Budget()).strategy for name in ("plain", "exhaustive"))
        assert plain.complete
        assert reduced.complete
        assert (plain.traces or 0) > 1_000_000 * (reduced.traces or 0) > 0
        assert plain.moves > reduced.moves


def test_a_missed_target_is_called_missed():
    assert search.verdict(search.TARGET).endswith("target 3,000: met")
    assert search.verdict(search.TARGET - 1).endswith("target 3,000: MISSED")


def test_an_unknown_option_is_refused():
    with pytest.raises(SystemExit, match=r"usage: python -m benchmarks\.search"):
        search.main(["--slow"])
