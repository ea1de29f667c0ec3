"""When a CPU takes an interrupt: against a list of every instant."""

from hypothesis import given, strategies as st

from kactors.kernel.cpu_parts.interrupts import Interrupts


def with_spans(*spans, now_ns=0):
    interrupts = Interrupts()
    for off_ns, on_ns in spans:
        interrupts.disable(off_ns, "walk")
        interrupts.enable(on_ns, now_ns)
    return interrupts


def test_an_idle_hour_serves_at_once():
    assert with_spans().serve_at(7) == (7, "")


def test_inside_a_span_it_is_served_at_the_instant_of_enabling():
    interrupts = with_spans((10, 20), (30, 40))
    assert interrupts.serve_at(9) == (9, "")
    assert interrupts.serve_at(10) == (20, "irqs off in walk since 10 ns")
    assert interrupts.serve_at(19) == (20, "irqs off in walk since 10 ns")
    assert interrupts.serve_at(20) == (20, "")
    assert interrupts.serve_at(35) == (40, "irqs off in walk since 30 ns")


def test_while_disabled_it_pends():
    interrupts = with_spans()
    interrupts.disable(10, "commit")
    assert interrupts.serve_at(10) is None
    assert interrupts.serve_at(9) == (9, "")
    assert (interrupts.off_since_ns, interrupts.path) == (10, "commit")


def test_it_waits_for_the_handler_before_it():
    interrupts = with_spans()
    interrupts.busy_until_ns = 15
    assert interrupts.serve_at(12) == (15, "serving another IPI")
    assert interrupts.serve_at(15) == (15, "")


def test_a_handler_that_ends_inside_a_span_delays_to_the_end_of_the_span():
    interrupts = with_spans((10, 20))
    interrupts.busy_until_ns = 12
    assert interrupts.serve_at(5) == (20, "irqs off in walk since 10 ns")


def test_spans_that_virtual_time_has_passed_are_forgotten():
    interrupts = with_spans((10, 20), now_ns=20)
    assert interrupts._spans == []
    interrupts = with_spans((10, 20), now_ns=19)
    interrupts.disable(30, "walk")
    interrupts.enable(40, 25)
    assert interrupts._spans == [(30, 40, "walk")]


def test_a_handler_shifts_what_was_computed_ahead_of_it():
    interrupts = with_spans((10, 20), (30, 40))
    interrupts.disable(50, "walk")
    interrupts.shift(25, by_ns=100)
    assert interrupts._spans == [(10, 20, "walk"), (130, 140, "walk")]
    assert interrupts.off_since_ns == 150
    interrupts.shift(145, by_ns=1)
    assert interrupts.off_since_ns == 151


def test_a_theft_inside_a_span_lengthens_it():
    interrupts = with_spans((10, 20), (30, 40))
    interrupts.shift(15, by_ns=100)
    assert interrupts._spans == [(10, 120, "walk"), (130, 140, "walk")]


def test_a_stolen_cpu_says_so():
    interrupts = with_spans((10, 20))
    interrupts.shift(15, by_ns=100)
    interrupts.busy_until_ns = 115
    interrupts.steal(15, 100)
    assert interrupts.serve_at(50) == (120, "vCPU not running from 15 to 115 ns, irqs off in walk since 10 ns")
    interrupts.steal(115, 5)
    interrupts.busy_until_ns = 120
    assert interrupts.serve_at(50) == (120, "vCPU not running from 15 to 120 ns")
    interrupts.busy_until_ns = 150
    assert interrupts.serve_at(130) == (150, "serving another IPI")


def test_a_theft_while_disabled_is_part_of_the_reason():
    interrupts = with_spans()
    interrupts.disable(10, "commit")
    assert interrupts.why_off() == "irqs off in commit since 10 ns"
    interrupts.steal(12, 100)
    assert interrupts.why_off() == "vCPU not running from 12 to 112 ns, irqs off in commit since 10 ns"


def test_an_enabled_cpu_has_no_disabling_to_shift():
    interrupts = with_spans((10, 20), now_ns=20)
    interrupts.shift(5, by_ns=100)
    assert interrupts.off_since_ns == 10


@st.composite
def timelines(draw):
    """Spans with at least one enabled instant between them, the last one perhaps still open."""
    spans, at_ns = [], 0
    for _ in range(draw(st.integers(0, 4))):
        off_ns = at_ns + draw(st.integers(1, 6))
        at_ns = off_ns + draw(st.integers(1, 6))
        spans.append((off_ns, at_ns))
    still_off_at_ns = at_ns + draw(st.integers(1, 6)) if draw(st.booleans()) else None
    return spans, still_off_at_ns


@given(timelines(), st.integers(0, 50), st.integers(0, 50))
def test_an_interrupt_is_served_at_the_first_instant_that_allows_it(timeline, arrival_ns, busy_until_ns):
    spans, still_off_at_ns = timeline
    interrupts = with_spans(*spans)
    # A handler that runs has shifted everything behind it, so it can end no later than the flag is cleared.
    busy_until_ns = min(busy_until_ns, still_off_at_ns or busy_until_ns)
    interrupts.busy_until_ns = busy_until_ns
    if still_off_at_ns is not None:
        interrupts.disable(still_off_at_ns, "commit")

    def allowed(at_ns):
        off = any(off_ns <= at_ns < on_ns for off_ns, on_ns in spans)
        return at_ns >= busy_until_ns and not off

    served = interrupts.serve_at(arrival_ns)
    if still_off_at_ns is not None and arrival_ns >= still_off_at_ns:
        assert served is None
    else:
        at_ns, why = served
        assert at_ns == next(instant for instant in range(arrival_ns, 100) if allowed(instant))
        assert bool(why) == (at_ns > arrival_ns)
