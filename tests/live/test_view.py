"""Any actor can be looked at, at any time: as plain data, of bounded size, and without a trace."""

import json
from collections import deque
from enum import Enum

import pytest

from kactors import run
from kactors.engine.errors import UsageError
from kactors.live import LiveMachine, Pause
from kactors.live.plain import CUT, ITEMS_MAX, PARTS_MAX, TEXT_MAX, Plain
from protocols.mmap_sem import MmapSemReleased
from tests.live.scenes import ALL, COLLAPSE, EBIZZY, MUNMAP_VS_FAULT, inject


def plain(value):
    if isinstance(value, dict):
        return all(type(key) is str and plain(part) for key, part in value.items())
    if isinstance(value, list):
        return all(plain(part) for part in value)
    return value is None or type(value) in {str, int, bool}


def test_looking_changes_nothing():
    machine = LiveMachine(EBIZZY)
    while machine.advance(events_max=97) is Pause.BUDGET:
        for name in machine.actor_names():
            state = machine.state(name)
            assert plain(state)
            assert len(json.dumps(state)) < 100_000
        machine.stats()
        machine.position()
    assert machine.result() == run(EBIZZY)


def test_every_actor_has_a_name_and_a_role():
    machine = LiveMachine(MUNMAP_VS_FAULT)
    machine.advance(events_max=60)
    assert machine.actor_names()[:6] == ["cpu0", "cpu1", "allocator", "mm", "khugepaged", "page_cache"]
    machine.apply(inject("starved_cpu", cpu=0, duration_ns=5))
    names = machine.actor_names()
    assert names[-2:] == ["host", "engine"]
    roles = [machine.state(name).get("role") for name in names]
    assert roles[:6] == ["cpu", "cpu", "allocator", "mm", "khugepaged", "page_cache"]
    assert set(roles[6:-2]) == {"ptl"}
    assert roles[-2:] == ["host", None]


def test_a_cpu_tells_its_threads_and_its_time():
    machine = LiveMachine(EBIZZY)
    machine.advance(events_max=600)
    state = machine.state("cpu0")
    assert state["threads"]["1"]["number"] == 0
    assert "program" not in state["threads"]["1"]
    assert state["spent"]["fault_ns"] > 0
    assert state["interrupts"]["enabled"] in {True, False}
    assert state["cpu_id"] == 0


def test_the_engine_tells_what_comes_next():
    machine = LiveMachine(EBIZZY)
    machine.advance(events_max=600)
    state = machine.state("engine")
    assert (state["events"], state["stop"]) == (600, None)
    assert state["next_ns"] >= state["now_ns"]
    machine.advance(events_max=1)
    assert machine.state("engine")["story"][-1] in state["next"]
    machine.advance(events_max=ALL)
    assert machine.state("engine")["stop"] == "time"


def test_what_is_long_is_cut_and_says_so():
    machine = LiveMachine(COLLAPSE)
    machine.advance(events_max=1_500)
    (table,) = [name for name in machine.actor_names() if name.startswith("ptl")]
    entries = machine.state(table)["entries"]
    assert len(entries) == ITEMS_MAX + 1
    assert entries[CUT].endswith(" more")


def test_of_tables_with_one_name_the_latest_is_shown():
    machine = LiveMachine(MUNMAP_VS_FAULT)
    machine.advance(events_max=ALL)
    tables = [name for name in machine.actor_names() if name.startswith("ptl")]
    assert len(set(tables)) == len(tables)
    assert any(machine.state(name)["freed"] for name in tables)


def test_an_unknown_actor_is_refused_with_some_that_exist():
    with pytest.raises(UsageError, match="no actor cpu99; there are cpu0, cpu1, "):
        LiveMachine(EBIZZY).state("cpu99")


class Colour(Enum):
    RED = 1


class Thing:
    def __init__(self, inside):
        self._inside = inside
        self.engine = "plumbing"
        self.act = print


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ((1, None, True), [1, None, True]),
        (deque([2]), [2]),
        ({3, 1, 2}, [1, 2, 3]),
        ({1: "a", Colour.RED: Colour.RED}, {"1": "a", "red": "red"}),
        (b"abc", "3 bytes"),
        (1.5, "1.5"),
        (1 << 64, "0x10000000000000000"),
        ("x" * (TEXT_MAX + 5), "x" * TEXT_MAX + "... (5 more)"),
        (list(range(ITEMS_MAX + 3)), [*range(ITEMS_MAX), "... 3 more"]),
        (MmapSemReleased(woken=1, ipis=0), "MmapSemReleased(woken=1, ipis=0, to_wake=())"),
        (Thing(Thing(1)), {"inside": {"inside": 1}}),
        ([[[[[[[[]]]]]]]], [[[[[["..."]]]]]]),
    ],
)
def test_each_kind_of_value(value, told):
    assert Plain().value(value) == told


def test_a_circle_ends():
    circle = Thing(None)
    circle._inside = circle
    assert Plain().value(circle) == {"inside": CUT}


def test_a_view_has_an_end():
    wide = [[[list(range(30)) for _ in range(30)] for _ in range(30)] for _ in range(30)]
    assert len(json.dumps(Plain().value(wide))) < 20 * PARTS_MAX
