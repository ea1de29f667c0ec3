"""The benchmark of RPC runs and prints its rows. Nothing is timed."""

import pytest

from benchmarks import rpc


def test_it_prints_a_row_for_each_stage_and_says_whether_the_target_is_met(capsys):
    rpc.main(["--quick"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(rpc.stages()) + 2
    assert lines[-1].endswith(("met", "MISSED"))


def test_what_is_measured_is_an_answer():
    said = rpc.stages()["serve, and the client"]()
    assert said[0].outcome == rpc.STATS.model_dump(mode="json")


def test_wrong_usage():
    with pytest.raises(SystemExit, match="usage"):
        rpc.main(["--slow"])
