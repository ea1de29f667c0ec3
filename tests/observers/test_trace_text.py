"""The readable trace: a line a delivery, in place only when it is complete."""

import pytest

from kactors import Machine, Scenario
from kactors.engine.event import describe
from kactors.engine.observer import Observer
from kactors.observers.trace_text import TextTrace

SCENARIO = Scenario(machine="small", until_ns=200_000)


class Listener(Observer):
    def __init__(self):
        self.lines = []

    def deliveries(self):
        return lambda event: self.lines.append(describe(event))


def test_each_delivery_is_one_line_in_its_order(tmp_path):
    listener, trace = Listener(), TextTrace(tmp_path / "out.txt")
    result = Machine(SCENARIO, observers=[listener, trace]).run()
    trace.close()
    text = (tmp_path / "out.txt").read_text()
    assert text.splitlines() == listener.lines
    assert text.endswith("\n")
    assert len(listener.lines) == result.events > 100
    assert [path.name for path in tmp_path.iterdir()] == ["out.txt"]


def test_an_aborted_run_leaves_what_was_there(tmp_path):
    target = tmp_path / "out.txt"
    target.write_text("older")
    trace = TextTrace(target)
    Machine(SCENARIO, observers=[trace]).run()
    assert target.read_text() == "older"
    trace.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["out.txt"]
    assert target.read_text() == "older"


def test_a_place_that_cannot_be_written_is_told_at_once(tmp_path):
    with pytest.raises(FileNotFoundError):
        TextTrace(tmp_path / "no" / "out.txt")
