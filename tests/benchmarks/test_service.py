"""The service's benchmarks run and print their rows. Nothing is timed."""

import pytest

from benchmarks import service_load, service_rate


def test_the_rate_has_a_row_for_each_server_and_says_whether_the_target_is_met(capsys):
    service_rate.main(["--quick"])
    head, ours, *others, verdict = capsys.readouterr().out.splitlines()
    assert head.split() == ["server", "answers/s", "us/answer"]
    assert ours.startswith("kactors sim.stats")
    assert "redis" in others[-1]
    assert verdict.endswith(("met", "MISSED"))


def test_a_small_load_prints_a_row_for_each_method(capsys):
    service_load.main(["--seconds", "2", "--clients", "6", "--subscribers", "1"])
    said = capsys.readouterr().out
    for row in ("sim.pause", "sim.stats", "only pauses", "memory at most", "sessions lost: 0", "events: "):
        assert f"\n{row}" in said


def test_what_is_slow_or_lost_is_said():
    figures = service_load.Figures(latencies={"sim.pause": [1.0]}, pauses=[0.2], lost=["s1 is gone"], peaks=[1 << 40])
    assert figures.faults(service_load.Load()) == ["session lost: s1 is gone", "1048576 MiB of memory"]
    assert [line.split(":")[0] for line in figures.slow()] == ["sim.pause", "pauses"]


@pytest.mark.parametrize("benchmark", [service_load, service_rate])
def test_wrong_usage(benchmark):
    with pytest.raises(SystemExit):
        benchmark.main(["--slow"])
