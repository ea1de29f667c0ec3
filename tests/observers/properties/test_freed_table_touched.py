"""freed_table_touched: a page table is not looked at after its end."""

from benchmarks.seeds import verdicts
from kactors.observers.properties.freed_table_touched import FreedTableTouched
from protocols.tracepoints import TableTouched
from tests.observers.properties.stories import findings

NAME = "freed_table_touched"


def test_a_walk_with_irqs_on_meets_a_table_that_munmap_has_freed():
    assert verdicts("broken-irqs-on", "munmap", range(60), only=NAME)[NAME] > 0
    assert verdicts("spf-v9", "munmap", range(60), only=NAME) == {"holds": 60}


def test_any_touch_of_a_freed_table_is_a_violation():
    touched = TableTouched(table=4, toucher="cpu1", request="ReadPte")
    assert findings(FreedTableTouched(), touched) == [NAME]
    hear = FreedTableTouched().tracepoints()[TableTouched]
    assert "cpu1 sent ReadPte to page table 4" in hear(9, "ptl", touched).text
