"""The ring benchmark runs, prints its columns, and lets every contestant pass the same tokens on. Nothing is timed."""

import subprocess
import sys

import pytest

from benchmarks import machine, ring
from kactors.engine.inline_runtime import run_inline


def printed(module: str, *arguments: str) -> list[str]:
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_it_prints_a_row_for_each_contestant_and_size_and_says_which_targets_are_met():
    head, *lines = printed("ring", "--quick")
    assert head.split() == ["actors", "contestant", "messages/s", "us/message", "/", "cable", "/", "callback"]
    rows = lines[: len(ring.SIZES) * len(ring.CONTESTANTS)]
    assert [(int(row[:6]), row[8:24].strip()) for row in rows] == [
        (size, name) for size in (16, 80, 1000) for name in ring.CONTESTANTS
    ]
    for row in rows:
        rate, us, cable, callback = row[24:].split()
        assert float(us) == pytest.approx(1e6 / int(rate.replace(",", "")), rel=0.1)
        assert "SimPy, cable" not in row or cable == "1.00"
        assert "SimPy, callback" not in row or callback == "1.00"
    text = "\n".join(lines)
    assert "kactors inline over SimPy (cable) at 80 actors: " in text
    assert "kactors Trio over SimPy (cable) at 80 actors: " in text
    assert "kactors inline, a message among 1000 actors over one among 16: " in text
    assert text.count("target 4.0: ") == text.count("target 1.2: ") == text.count("target 1.5: ") == 1


class Counting:
    """A cable that counts what is put into it."""

    puts = 0

    def put(self, value):
        type(self).puts += 1
        super().put(value)


@pytest.mark.parametrize("cable", [ring.Cable, ring.CallbackCable])
@pytest.mark.parametrize("stations", [1, 16, 80])
def test_all_contestants_pass_the_same_tokens_on(stations, cable):
    # Up to an instant at which a token arrives: each of them counts it.
    until_ns = sum(ring.latencies(stations)) * (1000 // stations)
    engine = ring.kactors_ring(stations, until_ns)
    run_inline(engine)
    assert engine.events == ring.arrivals(stations, until_ns) > 100
    counting = type("CountingCable", (Counting, cable), {})
    ring.run_simpy(ring.simpy_ring(stations, counting), until_ns)
    # Each arrival puts one token on; one a station was put there in the beginning.
    assert counting.puts == engine.events + stations


def test_ratios_are_medians_of_rounds_and_not_ratios_of_medians():
    rates = {("a", 80): [10.0, 200.0, 300.0], ("b", 80): [10.0, 50.0, 100.0]}
    assert ring.ratio(rates, ("a", 80), ("b", 80)) == 3.0


def test_a_missed_target_is_called_missed():
    def rates(inline: float) -> ring.Rates:
        return {
            (name, size): [inline if "inline" in name else 100.0] for name in ring.CONTESTANTS for size in ring.SIZES
        }

    assert "actors: 4.00, target 4.0: met" in ring.verdicts(rates(400.0))[0]
    assert "actors: 3.99, target 4.0: MISSED" in ring.verdicts(rates(399.0))[0]


def test_the_machine_benchmark_prints_what_each_case_did(capsys):
    machine.main(["--quick"])
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["case", "events", "CPU", "s", "events/s", "stop", "fingerprint"]
    inline, trio, collapse = (row.split()[-5:] for row in rows)
    assert (inline[0], inline[3:]) == (trio[0], trio[3:])
    assert collapse[3] == "quiescent"


@pytest.mark.parametrize("benchmark", [ring, machine])
def test_an_unknown_option_is_refused(benchmark):
    with pytest.raises(SystemExit, match="usage: python -m benchmarks"):
        benchmark.main(["--slow"])
