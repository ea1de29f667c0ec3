"""Many runs, in this process or in several, give what each gives alone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kactors import Scenario, run
from kactors.engine.errors import ActorCrash, UsageError
from kactors.sweep import run_all

ROOT = Path(__file__).parents[2]
SMALL = {"machine": "small", "options": {"n": 1, "s": 4096}}
CRASHES = f"{Path(__file__).with_name('crashing_policy.py')}:Crashes"


def small(until_ns, **values):
    return Scenario(until_ns=until_ns, **(SMALL | values))


@pytest.fixture
def two_cpus(monkeypatch):
    """So that it is parallel on a host with one CPU too."""
    monkeypatch.setattr(os, "cpu_count", lambda: 2)


@pytest.fixture(params=[1, 2], ids=["inline", "parallel"])
def workers(request, two_cpus):
    return request.param


def test_results_come_in_the_order_of_the_scenarios(workers):
    # the first takes longest: in parallel it ends last
    scenarios = [small(2_000_000), small(50_000, policy="classic"), small(100_000, seed=2)]
    done = []
    results = run_all(scenarios, workers=workers, on_done=lambda place, result: done.append((place, result)))
    assert [result.scenario for result in results] == scenarios
    assert [result.fingerprint for result in results] == [run(scenario).fingerprint for scenario in scenarios]
    assert sorted(place for place, _ in done) == [0, 1, 2]
    assert all(results[place] is result for place, result in done)


def test_nothing_to_do(workers):
    assert run_all([], workers=workers) == []


def test_a_finding_comes_back_whole(workers):
    scenario = small(5_000_000, bounds={"transient_pages_max": 0})
    results = run_all([scenario, scenario], workers=workers)
    assert [result.stop for result in results] == [run(scenario).stop] * 2
    assert results[0].stop.kind == "bound"


def test_properties_can_be_left_out(workers, monkeypatch):
    scenario = Scenario(
        workload="collapse-vs-fault",
        machine="small",
        policy="broken-irqs-on-no-checks",
        khugepaged={"scan_sleep_millisecs": 1},
    )
    kinds = {}
    for check in (True, False):
        scenarios = [scenario.model_copy(update={"seed": seed}) for seed in range(12)]
        kinds[check] = {result.stop.kind for result in run_all(scenarios, workers=workers, properties=check)}
    assert "violation" in kinds[True]
    assert "violation" not in kinds[False]


def test_a_wrong_request_is_the_callers_error(workers):
    with pytest.raises(UsageError, match="no such policy"):
        run_all([small(1000), small(1000, policy="nonesuch")], workers=workers)


def test_a_crash_keeps_its_story(workers):
    with pytest.raises(ActorCrash, match="cpu0 crashed on") as crashed:
        run_all([small(1_000_000, policy=CRASHES)] * 2, workers=workers)
    assert crashed.value.actor == "cpu0"
    assert crashed.value.story
    assert "no such luck" in str(crashed.value.__cause__)


def test_one_worker_is_this_process(monkeypatch):
    pids = []
    monkeypatch.setattr("kactors.sweep.pool._run", lambda *_, **__: pids.append(os.getpid()))
    run_all([small(1)] * 3, workers=1)
    assert pids == [os.getpid()] * 3


def test_never_more_workers_than_cpus(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    monkeypatch.setattr("kactors.sweep.pool._parallel", None)
    assert len(run_all([small(1000)] * 2, workers=8)) == 2


LONG = """
import multiprocessing, os, sys, threading, time
os.cpu_count = lambda: 2
from kactors import Scenario
from kactors.sweep import run_all

def tell():
    while len(multiprocessing.active_children()) < 2:
        time.sleep(0.01)
    time.sleep(0.5)
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)

if __name__ == "__main__":
    threading.Thread(target=tell, daemon=True).start()
    run_all([Scenario(machine="small", until_ns=10**12)] * 2)
"""


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks Linux's /proc about processes")
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_parent(tmp_path, blow):
    script = tmp_path / "long.py"
    script.write_text(LONG)
    command = [sys.executable, script]
    # A killed parent leaves multiprocessing's folder behind: not in the host's /tmp.
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "env": os.environ | {"TMPDIR": str(tmp_path)}}
    with subprocess.Popen(command, text=True, cwd=ROOT, **streams) as parent:
        workers = [int(pid) for pid in parent.stdout.readline().split()]
        try:
            assert len(workers) == 2
            assert all(alive(pid) for pid in workers)
            parent.send_signal(blow)
            parent.wait(timeout=20)
            deadline = time.monotonic() + 20
            while any(alive(pid) for pid in workers) and time.monotonic() < deadline:
                time.sleep(0.02)
            assert not any(alive(pid) for pid in workers)
        finally:
            # None of them may outlive a test that fails.
            parent.kill()
            for pid in workers:
                if alive(pid):
                    os.kill(pid, signal.SIGKILL)
