"""What `make run` does."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kactors import mainjob, sweep
from kactors.machines import load_machine
from kactors.mainjob import Size
from protocols.stop import BoundExceeded

ROOT = Path(__file__).parents[2]
TITLE = b"replaying recordings/ebizzy-mTRp-t4.perf.txt.xz: classic, spf-v9, per-vma on zen4-vm-2, x86-vm-16, x86-80\n"


@pytest.fixture
def short(monkeypatch):
    """Two sizes, and as little of them as shows a table."""
    monkeypatch.setattr(mainjob, "SIZES", (Size("zen4-vm-2", 4, 300_000), Size("x86-vm-16", 32, 400_000)))


def test_it_prints_a_table_and_three_sentences(short, capsys):
    assert mainjob.main() == 0
    out = capsys.readouterr().out
    title, window, _, header, *rest = out.splitlines()
    assert title.startswith("replaying recordings/ebizzy-mTRp-t4.perf.txt.xz: classic, spf-v9, per-vma on zen4-vm-2,")
    assert (
        window == "the first 300 us on zen4-vm-2 (4 threads), 400 us on x86-vm-16 (32 threads) of virtual time, seed 1"
    )
    assert header.split()[:4] == ["CPUs", "policy", "steps/s", "gain"]
    names = [line.split()[:2] for line in rest[:6]]
    assert [names[0], names[3]] == [["2", "classic"], ["16", "classic"]]
    assert [name[0] for place, name in enumerate(names) if place not in (0, 3)] == ["spf-v9", "per-vma"] * 2
    sentences = rest[-3:]
    assert [line.split()[0] for line in sentences] == ["Who", "Over-allocated:", "IPI"]


def test_its_runs_are_the_issues():
    runs = mainjob.scenarios(Path("x"))
    sizes = [(load_machine(run.machine).cpus, run.threads, run.policy) for run in runs]
    assert sizes == [
        (cpus, threads, policy)
        for cpus, threads in ((2, 4), (16, 32), (80, 160))
        for policy in ("classic", "spf-v9", "per-vma")
    ]
    for place in (0, 3, 6):
        assert len({run.model_copy(update={"policy": ""}).model_dump_json() for run in runs[place : place + 3]}) == 1


def test_a_finding_is_shown_and_ends_with_1(short, capsys, monkeypatch):
    stop = BoundExceeded(bound="bounds.x", limit=1, value=2, cause="a cause")

    def run_all(scenarios, on_done):
        first, *others = sweep.run_all(scenarios[:2])
        return [first, *(result.model_copy(update={"stop": stop}) for result in others)]

    monkeypatch.setattr(mainjob, "run_all", run_all)
    assert mainjob.main() == 1
    out = capsys.readouterr().out
    assert "spf-v9 on 2 CPUs:\n *** BOUND bounds.x exceeded" in out
    assert "classic on 2 CPUs:\n" not in out


def test_without_the_recording_it_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(mainjob, "RECORDING", Path("recordings") / "nonesuch.xz")
    assert mainjob.main() == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "recordings/nonesuch.xz" in captured.err


def test_an_installed_package_finds_it_in_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "recordings").mkdir()
    shutil.copy(ROOT / mainjob.RECORDING, tmp_path / "recordings")
    monkeypatch.setattr(mainjob, "__file__", str(tmp_path / "site" / "kactors" / "mainjob.py"))
    monkeypatch.chdir(tmp_path)
    assert mainjob.find_recording() == tmp_path / mainjob.RECORDING


@pytest.fixture
def process():
    """The real main job, which does not outlive the test."""
    command = [sys.executable, "-m", "kactors.mainjob"]
    started = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    yield started
    started.kill()
    started.communicate()


def test_the_first_line_comes_at_once_and_ctrl_c_ends_it_in_one_line(process):
    assert process.stdout.readline() == TITLE
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (out, err, process.returncode) == (b"", b"kactors: interrupted\n", 130)


def test_a_broken_pipe_is_left_quietly(process):
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=20) == 141
