"""What listeners are told: the same numbers for the same happenings, since whenever they listen; no trace of it."""

from itertools import pairwise

import pytest

from kactors import run
from kactors.engine.errors import UsageError
from kactors.live import TOPICS, LiveMachine, Pause
from kactors.observers.trace_text import TextTrace
from tests.live.scenes import ALL, COLLAPSE_VS_FAULT, EBIZZY, MS, MUNMAP_VS_FAULT, SAME_ADDRESS, US, ran


def heard_from_the_start(scenario, topics=TOPICS, interval_ns=10 * US, slice_events=ALL):
    machine, heard = LiveMachine(scenario), []
    machine.listen(topics, heard.append, interval_ns=interval_ns)
    while machine.advance(events_max=slice_events) is not Pause.ENDED:
        pass
    return machine, heard


@pytest.mark.parametrize("scenario", [EBIZZY, COLLAPSE_VS_FAULT, MUNMAP_VS_FAULT], ids=lambda s: s.workload)
def test_listening_changes_nothing(scenario):
    machine, heard = heard_from_the_start(scenario)
    assert machine.result() == run(scenario)
    assert {happening.topic for happening in heard} == TOPICS


@pytest.mark.parametrize("slice_events", [1, 7, 100])
def test_slices_change_nothing_of_what_is_heard(slice_events):
    assert heard_from_the_start(EBIZZY, slice_events=slice_events)[1] == heard_from_the_start(EBIZZY)[1]


@pytest.mark.parametrize("from_events", [1, 64, 250, 500])
def test_who_comes_late_hears_the_same_numbers(from_events):
    scenario = EBIZZY.model_copy(update={"seed": 6})  # which has IPIs to the end
    _, all_heard = heard_from_the_start(scenario)
    machine, heard = LiveMachine(scenario), []
    machine.advance(events_max=from_events)
    machine.listen(TOPICS, heard.append, interval_ns=10 * US)
    ran(machine)
    for topic in TOPICS:
        late = [happening for happening in heard if happening.topic == topic]
        assert late
        assert late == [happening for happening in all_heard if happening.topic == topic][-len(late) :]


@pytest.mark.parametrize("topic", sorted(TOPICS))
def test_numbers_run_from_one(topic):
    machine, heard = heard_from_the_start(EBIZZY, frozenset({topic}))
    assert [happening.number for happening in heard] == list(range(1, len(heard) + 1))
    if topic == "stories":
        assert len(heard) == machine.stats().events


def test_stories_are_the_trace(tmp_path):
    trace = TextTrace(tmp_path / "trace.txt")
    machine, lines = LiveMachine(EBIZZY, observers=[trace]), []
    machine.listen(frozenset({"stories"}), lambda happening: lines.append(happening.data["line"]))
    ran(machine)
    trace.close()
    assert lines == (tmp_path / "trace.txt").read_text().splitlines()


def test_ipi_waits_tell_who_and_why():
    machine, heard = heard_from_the_start(COLLAPSE_VS_FAULT, frozenset({"ipi_waits"}))
    waits = machine.result().ipi
    assert len(heard) == waits.all.count
    worst = max(heard, key=lambda happening: happening.data["wait_ns"])
    assert worst.data == waits.worst.model_dump()


def test_transient_pages_go_up_and_down():
    machine, heard = heard_from_the_start(SAME_ADDRESS, frozenset({"transient_pages"}))
    levels = [0, *(happening.data["now"] for happening in heard)]
    assert all(abs(one - other) == 1 for one, other in pairwise(levels))
    assert max(levels) == heard[-1].data["peak"] == machine.result().transient.peak_mm
    assert levels[-1] == 0
    assert all(happening.data["address"] % 4096 == 0 for happening in heard)


def test_counters_come_at_each_interval_of_virtual_time():
    _, heard = heard_from_the_start(EBIZZY, frozenset({"counters"}), interval_ns=100 * US)
    # The run ends at 300 us: the end is told by the result.
    assert [(happening.number, happening.at_ns) for happening in heard] == [(1, 100 * US), (2, 200 * US)]
    paused = LiveMachine(EBIZZY)
    paused.advance(events_max=ALL, until_ns=200 * US)
    assert heard[1].data["faults"] == paused.stats().faults
    assert heard[1].data["events"] == paused.stats().events


def test_samples_of_an_empty_stretch_use_the_budget():
    machine, heard = LiveMachine(COLLAPSE_VS_FAULT), []
    machine.listen(frozenset({"counters"}), heard.append, interval_ns=100)
    machine.advance(events_max=ALL, until_ns=100 * US)
    before, events = len(heard), machine.stats().events
    assert machine.advance(events_max=50) is Pause.BUDGET
    assert len(heard) - before <= 50
    assert machine.stats().events - events <= 50


def test_the_interval_stays_until_another_is_given():
    machine, heard = LiveMachine(EBIZZY), []
    machine.listen(frozenset({"counters"}), heard.append, interval_ns=50 * US)
    machine.advance(events_max=ALL, until_ns=60 * US)
    machine.listen(frozenset({"counters", "stories"}), heard.append)
    machine.listen(frozenset({"counters"}), heard.append)
    machine.advance(events_max=ALL, until_ns=160 * US)
    machine.listen(frozenset({"counters"}), heard.append, interval_ns=20 * US)
    machine.advance(events_max=ALL, until_ns=200 * US)
    assert [(happening.number, happening.at_ns // US) for happening in heard] == [
        (1, 50),
        (2, 100),
        (3, 150),
        (9, 180),
        (10, 200),
    ]


def test_nobody_is_told_after_the_end_of_listening():
    machine, heard = LiveMachine(EBIZZY), []
    machine.listen(TOPICS, heard.append, interval_ns=US)
    machine.advance(events_max=100)
    machine.listen(frozenset(), None)
    count = len(heard)
    ran(machine)
    assert len(heard) == count > 100


def test_what_cannot_be_heard_is_refused():
    machine = LiveMachine(EBIZZY)
    with pytest.raises(UsageError, match="no such topic: weather; there are counters, ipi_waits, "):
        machine.listen(frozenset({"stories", "weather"}), print)
    with pytest.raises(UsageError, match="interval_ns must be 1 or more"):
        machine.listen(TOPICS, print, interval_ns=0)
    assert machine.advance(events_max=ALL, until_ns=MS) is Pause.ENDED
