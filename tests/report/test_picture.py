"""Pictures of letters."""

import pytest

from kactors.report.picture import HEIGHT, WIDTH, picture

CURVES = {"classic": [(1, 3), (16, 120), (80, 100)], "spf-v9": [(1, 3), (16, 40), (80, 1000)]}


def tick_line(lines):
    return lines[HEIGHT - 2]


@pytest.mark.parametrize("log_y", [False, True])
def test_it_is_plain_text_of_a_known_size_with_the_names_of_curves_and_places(log_y):
    lines = picture("records/s", CURVES, x="CPUs", log_y=log_y)
    assert len(lines) == HEIGHT + len(CURVES)
    assert all(len(line) <= WIDTH and line == line.rstrip() for line in lines)
    text = "\n".join(lines)
    assert "\x1b" not in text
    assert all(word in text for word in ("records/s", "o classic", "x spf-v9", "CPUs", "1,000", "16", "80"))


def test_doublings_take_equal_space():
    lines = picture("y", {"a": [(1, 1), (2, 2), (4, 3)]}, x="CPUs")
    ticks = tick_line(lines)
    assert ticks.index("4") - ticks.index("2") == pytest.approx(ticks.index("2") - ticks.index("1"), abs=1)


def test_names_that_would_touch_are_left_out():
    ticks = tick_line(picture("y", {"a": [(1, 1), (999, 2), (1000, 3)]}, x="CPUs"))
    assert "1,000" in ticks
    assert "999" not in ticks


def test_where_there_is_nothing_to_draw_there_is_no_picture():
    assert picture("y", {"a": []}, x="CPUs") == []


def test_one_point_is_a_picture_too():
    assert len(picture("y", {"a": [(1, 0)]}, x="CPUs")) == HEIGHT + 1
