"""Struct pages come from the CPU that handled them last, one after the other."""

import pytest

from kactors.kernel.mem_map import MemMap
from kactors.machines import load_machine

DISTANCES = {"line_core_ns": 3, "line_cache_ns": 20, "line_socket_ns": 50, "line_remote_ns": 100}
FRAMES = (5, 6, 7)


@pytest.fixture
def mem_map():
    return MemMap(load_machine("ivb-ep-40", costs={**DISTANCES, "page_lines": 1}))


def test_a_frame_that_nobody_has_handled_costs_nothing(mem_map):
    assert mem_map.fetch_ns(FRAMES, 0) == 0


@pytest.mark.parametrize(("cpu", "line_ns"), [(0, 0), (1, 3), (2, 20), (39, 100)])
def test_each_frame_costs_the_way_of_a_line(mem_map, cpu, line_ns):
    mem_map.fetch_ns(FRAMES, 0)
    assert mem_map.fetch_ns(FRAMES, cpu) == len(FRAMES) * line_ns


def test_afterwards_they_are_the_callers(mem_map):
    mem_map.fetch_ns(FRAMES, 0)
    mem_map.fetch_ns(FRAMES[:2], 39)
    assert mem_map.fetch_ns(FRAMES[:2], 39) == 0
    assert mem_map.fetch_ns(FRAMES, 0) == 2 * 100, "the third has stayed"


def test_so_many_lines_move_as_the_machine_says():
    two, none = (MemMap(load_machine("ivb-ep-40", costs={**DISTANCES, "page_lines": lines})) for lines in (2, 0))
    for mem_map in (two, none):
        mem_map.fetch_ns(FRAMES, 0)
    assert two.fetch_ns(FRAMES, 39) == 2 * len(FRAMES) * 100
    assert none.fetch_ns(FRAMES, 39) == 0
