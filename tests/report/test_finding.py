"""What is drawn when a run is stopped by a finding."""

import pytest

from kactors.report.finding import finding
from protocols.stop import BoundExceeded, Deadlock, Quiescent, TimeReached, Violation, WaitEdge
from tests.report.samples import DEADLOCK


def text_of(stop, at_ns=10_069_222):
    return "\n".join(finding(stop, at_ns))


def test_a_deadlock_is_drawn_with_a_column_a_cpu():
    assert text_of(DEADLOCK) == (
        """\
 *** DEADLOCK at 10.069222 ms: nothing is left to deliver, and 3 still wait ***

  CPU0 -> IPI ack of cpu1 -> PTE lock of ptl@7e -> CPU0

 Unsafe interleaving, as it happened:

               CPU0                           CPU1
               ----                           ----
  7.069672 ms  takes PTE lock of ptl@7e
  7.069881 ms                                 irqs off in commit
         then  waits for IPI ack of cpu1
         then                                 waits for PTE lock of ptl@7e

  who waits  for                 held by  since        because it
  cpu0       IPI ack of cpu1     cpu1     7.069881 ms  irqs off in commit
  cpu1       PTE lock of ptl@7e  cpu0     7.069672 ms  has not unlocked it
  cpu2       mmap_sem            cpu0     5.000000 ms  has not released it"""
    )


def edge(waiter, holder, resource="lock"):
    return WaitEdge(waiter=waiter, resource=f"{resource} {holder}", holder=holder, since=int(waiter[3:]), why="")


def test_three_in_a_ring_have_three_columns_in_the_order_of_the_cycle():
    cycle = (edge("cpu0", "cpu2"), edge("cpu2", "cpu1"), edge("cpu1", "cpu0"))
    lines = finding(Deadlock(cycle=cycle, waits=cycle), 1)
    assert "  CPU0 -> lock cpu2 -> lock cpu1 -> lock cpu0 -> CPU0" in lines
    header = next(line for line in lines if line.split() == ["CPU0", "CPU2", "CPU1"])
    takes = next(line for line in lines if "takes lock cpu1" in line)
    assert takes.index("takes") == header.index("CPU1")


def test_a_wait_that_leads_to_nobody_has_no_cycle():
    text = text_of(Deadlock(cycle=(), waits=DEADLOCK.waits[2:]))
    assert "No cycle" in text
    assert "->" not in text
    assert "cpu2       mmap_sem  cpu0" in text


def test_a_thousand_waits_are_cut():
    waits = tuple(edge(f"cpu{number}", "cpu0") for number in range(1000))
    text = text_of(Deadlock(cycle=(), waits=waits))
    assert "1000 still wait" in text
    assert text.endswith("... and 960 more waits")


def test_a_violation_tells_its_property_and_the_end_of_the_story():
    story = tuple(f"delivery {number}" for number in range(256))
    text = text_of(Violation(property="store_lost", text="page 0x10 lost a store", story=story))
    assert text.startswith(" *** VIOLATION of store_lost at 10.069222 ms ***\n\n  page 0x10 lost a store\n")
    assert "  delivery 236\n" in text
    assert text.endswith("  delivery 255")
    assert "delivery 235\n" not in text


def test_a_violation_without_a_story():
    assert "deliveries" not in text_of(Violation(property="p", text="t"))


@pytest.mark.parametrize(
    ("bound", "line"),
    [
        ("bounds.transient_pages_max", "  5,000, where at most 4,000 are allowed"),
        ("bounds.ipi_wait_max_ns", "  5.00 us, where at most 4.00 us are allowed"),
    ],
)
def test_a_bound_tells_limit_value_and_cause(bound, line):
    lines = finding(BoundExceeded(bound=bound, limit=4000, value=5000, cause="too many faults"), 0)
    assert lines == [f" *** BOUND {bound} exceeded at 0.000000 ms ***", "", line, "  cause: too many faults"]


@pytest.mark.parametrize("stop", [Quiescent(), TimeReached(at=1)])
def test_nothing_is_told_of_a_run_that_ended_well(stop):
    assert finding(stop, 1) == []
