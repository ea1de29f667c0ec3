"""Plain columns."""

from kactors.report.tables import table


def test_numbers_are_flush_right_and_names_flush_left():
    lines = table(("name", "n", "why"), [["a", "1,000", "x"], ["longer", "2", ""]])
    assert lines == [
        "  name        n  why",
        "  a       1,000    x",
        "  longer      2",
    ]


def test_the_last_column_can_be_text():
    lines = table(("n", "m", "why"), [["1", "22", "because"], ["2", "3", "so"]], last_left=True, indent="")
    assert lines == ["n   m  why", "1  22  because", "2   3  so"]
