"""The Chrome trace is one that a viewer can draw: spans nest, async spans and flows pair, the counter counts."""

import json
from collections import Counter, defaultdict
from pathlib import Path

import jsonschema
import pytest

from kactors import Machine, Scenario
from kactors.observers.trace_chrome import SPANS_MAX, ChromeTrace, Nesting
from protocols.scenario import Khugepaged
from protocols.scheduling import SchedSwitch
from tests.actors.scenes import Heard

EVENT = {
    "type": "object",
    "required": ["ph", "name", "pid", "tid"],
    "properties": {
        "ph": {"enum": ["M", "X", "b", "e", "s", "f", "i", "C"]},
        "name": {"type": "string"},
        "pid": {"const": 1},
        "tid": {"type": "integer", "minimum": 0},
        "ts": {"type": "number", "minimum": 0},
        "dur": {"type": "number", "minimum": 0},
        "args": {"type": "object"},
    },
    "allOf": [
        {"if": {"properties": {"ph": {"const": "X"}}}, "then": {"required": ["ts", "dur"]}},
        {"if": {"properties": {"ph": {"enum": ["b", "e", "s", "f"]}}}, "then": {"required": ["ts", "id", "cat"]}},
    ],
}
SCHEMA = {
    "type": "object",
    "required": ["traceEvents", "displayTimeUnit"],
    "properties": {"displayTimeUnit": {"const": "ns"}, "traceEvents": {"type": "array", "items": EVENT}},
}

SCENARIOS = {
    "ebizzy": Scenario(machine="small", cpus=3, threads=7, until_ns=1_500_000, policy="spf-v9"),
    "collapse": Scenario(
        workload="collapse",
        machine="small",
        options={"pmds": 1, "rounds": 3},
        khugepaged=Khugepaged(scan_sleep_millisecs=1),
    ),
}


def written(scenario: Scenario, path: Path):
    machine = Machine(scenario, observers=[trace := ChromeTrace(path, scenario.cpus or 2)])
    result = machine.run()
    trace.close()
    return result, json.loads(path.read_text())


@pytest.fixture(params=SCENARIOS)
def traced(request, tmp_path):
    result, trace = written(SCENARIOS[request.param], tmp_path / "out.json")
    return result, trace["traceEvents"], trace


def test_it_has_the_form_that_viewers_read(traced):
    _, events, trace = traced
    jsonschema.validate(trace, SCHEMA)
    assert {event["ph"] for event in events} >= {"M", "X", "b", "e", "s", "f", "C"}


def test_each_cpu_has_a_named_track(traced):
    result, events, _ = traced
    names = {event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert names == {f"cpu{cpu}" for cpu in range(result.cpus)} | {"khugepaged"}


def test_spans_of_a_track_nest(traced):
    _, events, _ = traced
    tracks = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            start = round(event["ts"] * 1000)
            tracks[event["tid"]].append((start, start + round(event["dur"] * 1000)))
    for spans in tracks.values():
        open_ends: list[int] = []
        for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
            while open_ends and open_ends[-1] <= start:
                open_ends.pop()
            assert not open_ends or end <= open_ends[-1]
            open_ends.append(end)


def test_async_spans_pair(traced):
    _, events, _ = traced
    begins = {event["id"]: event for event in events if event["ph"] == "b"}
    ends = {event["id"]: event for event in events if event["ph"] == "e"}
    assert begins.keys() == ends.keys()
    assert all(begin["ts"] <= ends[key]["ts"] for key, begin in begins.items())


def test_each_served_ipi_is_a_flow_from_its_sender(traced):
    result, events, _ = traced
    starts = Counter(event["id"] for event in events if event["ph"] == "s")
    finishes = Counter(event["id"] for event in events if event["ph"] == "f")
    assert starts == finishes
    assert set(starts.values()) == {1}
    assert len(starts) >= result.ipi.all.count


def test_the_counter_ends_at_the_pages_still_in_flight(traced):
    result, events, _ = traced
    counts = [event["args"]["pages"] for event in events if event["ph"] == "C"]
    assert max(counts) == result.transient.peak_mm
    assert counts[-1] == result.transient.now


def test_faults_and_calls_are_all_there():
    nesting = Nesting()
    assert nesting.admits(10, 20)
    assert nesting.admits(5, 30)  # around it
    assert not nesting.admits(25, 40)  # cuts it
    assert nesting.admits(30, 40)  # after it


def test_a_long_run_needs_no_more_memory_and_is_never_drawn_wrongly():
    nesting = Nesting()
    ends = range(10, 10 * (5 * SPANS_MAX), 10)
    assert all(nesting.admits(end - 5, end) for end in ends)
    assert len(nesting._spans) <= SPANS_MAX
    last = ends[-1]
    assert nesting.admits(last - 15, last + 10)  # around the last two
    assert not nesting.admits(12, last + 20)  # between two that are long forgotten: perhaps it would cut one
    assert nesting.admits(0, last + 20)  # around all


def test_the_same_run_writes_the_same_bytes(tmp_path):
    scenario = SCENARIOS["ebizzy"]
    written(scenario, tmp_path / "one.json")
    written(scenario, tmp_path / "two.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_nothing_is_in_place_before_it_is_closed(tmp_path):
    target = tmp_path / "out.json"
    target.write_text("older")
    trace = ChromeTrace(target, 2)
    assert target.read_text() == "older"
    trace.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]
    assert target.read_text() == "older"


def test_what_a_cpu_did_not_run_in_one_go_is_beside_its_track(tmp_path):
    """Threads sleep in faults and calls, and go on elsewhere: none of that is drawn as running; each has its thread."""
    switches = Heard(SchedSwitch)
    scenario = Scenario(machine="zen4-vm-2", policy="per-vma", threads=4, until_ns=9_000_000)
    machine = Machine(scenario, observers=[switches, trace := ChromeTrace(tmp_path / "out.json", 2)])
    machine.run()
    trace.close()
    at = {cpu: [at_ns / 1000 for at_ns, who, _ in switches.all if who == f"cpu{cpu}"] for cpu in (0, 1)}
    events = json.loads((tmp_path / "out.json").read_text())["traceEvents"]
    runs = [event for event in events if event["ph"] == "X" and event["name"] in {"mmap", "munmap", "fault (classic)"}]
    assert len({event["args"]["thread"] for event in runs}) == 5
    for event in runs:
        assert not any(event["ts"] < ts < event["ts"] + event["dur"] for ts in at[event["tid"]])
    beside = {event["name"] for event in events if event["ph"] == "b" and "thread" in event["args"]}
    assert {"mmap", "munmap"} <= beside
