"""--trace: what hears the run, and that a wrong request leaves no file behind and no file changed."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from kactors import Machine, Scenario
from kactors.observers.trace_chrome import ChromeTrace
from kactors.observers.trace_text import TextTrace
from tests.cli.conftest import TINY

ROOT = Path(__file__).parents[2]
CRASHES = """
from kactors.fault_policy import FaultPolicy
class Mine(FaultPolicy):
    name = "mine"
    async def fault(self, cpu, address, *, write):
        raise FileNotFoundError(2, "No such file or directory", "of my own")
"""


def run(kactors, path, *words):
    return kactors("run", "ebizzy", *TINY, "--cpus", 3, "--until", "20us", "--trace", path, *words)


@pytest.fixture
def expected(tmp_path):
    """What the observers write when Python code uses them on the same run."""

    def text(kind):
        path = tmp_path / "expected"
        scenario = Scenario(machine="small", options={"n": 1, "s": 4096}, cpus=3, until_ns=20_000)
        trace = TextTrace(path) if kind == ".txt" else ChromeTrace(path, 3)
        Machine(scenario, observers=[trace]).run()
        trace.close()
        return path.read_text()

    return text


@pytest.mark.parametrize("suffix", [".txt", ".json"])
def test_the_suffix_chooses_the_form(kactors, tmp_path, expected, suffix):
    path = tmp_path / f"trace{suffix}"
    done = run(kactors, path)
    assert done.exit_code == 0
    assert path.read_text() == expected(suffix)
    assert done.stdout == kactors("run", "ebizzy", *TINY, "--cpus", 3, "--until", "20us").stdout
    assert {entry.name for entry in tmp_path.iterdir()} == {path.name, "expected"}


def test_a_text_trace_has_a_line_a_delivery(kactors, tmp_path):
    done = run(kactors, tmp_path / "t.txt", "--json")
    assert len((tmp_path / "t.txt").read_text().splitlines()) == json.loads(done.stdout)["events"] > 50


def test_a_chrome_trace_is_json_with_a_track_a_cpu(kactors, tmp_path):
    run(kactors, tmp_path / "t.json")
    events = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    assert {event["args"]["name"] for event in events if event["name"] == "thread_name"} >= {"cpu0", "cpu1", "cpu2"}


def test_replay_traces_too(kactors, tmp_path, short_recording):
    words = ("replay", short_recording(), "--machine", "small", "--until", "300us")
    done = kactors(*words, "--trace", tmp_path / "t.txt")
    assert done.exit_code == 0, done.stderr
    assert "MmapRegion" in (tmp_path / "t.txt").read_text()


def test_a_finding_is_traced_to_its_end(kactors, tmp_path):
    done = run(kactors, tmp_path / "t.txt", "--set", "bounds.transient_pages_max=0")
    assert done.exit_code == 1
    assert (tmp_path / "t.txt").stat().st_size > 0


WRONG = [
    ["--policy", "nonesuch"],
    ["--set", "nonesuch=1"],
    ["--cpus", "0"],
    ["--until", "soon"],
    ["--set", "machine.nonesuch=1"],
    ["--set", "t=0"],
    ["--machine", "nonesuch"],
]


@pytest.mark.parametrize("wrong", WRONG, ids=" ".join)
@pytest.mark.parametrize("suffix", [".txt", ".json"])
def test_a_wrong_request_creates_and_truncates_nothing(refused, tmp_path, monkeypatch, wrong, suffix):
    opened = []
    monkeypatch.setattr("kactors.cli.traces._opened", lambda *arguments: opened.append(arguments))
    old = tmp_path / f"old{suffix}"
    old.write_text("precious")
    refused("run", "ebizzy", *wrong, "--trace", old)
    refused("run", "ebizzy", *wrong, "--trace", tmp_path / f"new{suffix}")
    assert opened == []
    assert list(tmp_path.iterdir()) == [old]
    assert old.read_text() == "precious"


def test_a_wrong_place_is_refused_before_the_run(refused, tmp_path, monkeypatch):
    monkeypatch.setattr("kactors.cli.request.Machine", None)
    folder = tmp_path / "folder.txt"
    folder.mkdir()
    assert "must end in .txt" in refused("run", "ebizzy", "--trace", "foo.bar")
    assert ".json" in refused("run", "ebizzy", "--trace", "foo")
    assert f"there is no folder {tmp_path / 'no'}" in refused("run", "ebizzy", "--trace", tmp_path / "no" / "t.txt")
    # a folder of that name: click's own check, or ours
    assert str(folder) in refused("run", "ebizzy", "--trace", folder)


@pytest.mark.parametrize("locked", ["folder", "file"])
def test_a_place_without_permission_is_refused(refused, tmp_path, monkeypatch, locked):
    path = tmp_path / "t.txt"
    path.write_text("precious")
    where = {"folder": tmp_path, "file": path}[locked]
    # not chmod: whoever is root may write everywhere
    monkeypatch.setattr("kactors.cli.traces.os.access", lambda place, _mode: Path(place) != where)
    assert "no permission" in refused("run", "ebizzy", "--trace", tmp_path / "new.txt" if locked == "folder" else path)
    assert path.read_text() == "precious"


def test_a_crash_is_traced_and_not_blamed_on_the_trace(kactors, tmp_path):
    (tmp_path / "mine.py").write_text(CRASHES)
    done = run(kactors, tmp_path / "t.txt", "--policy", f"{tmp_path}/mine.py:Mine")
    assert done.exit_code == 2
    assert "of my own" in done.stderr
    assert "StartThread" in (tmp_path / "t.txt").read_text()


def test_an_interrupted_run_leaves_the_old_trace(kactors, tmp_path, monkeypatch):
    def interrupted(_machine, _runtime):
        raise KeyboardInterrupt

    path = tmp_path / "t.txt"
    path.write_text("precious")
    monkeypatch.setattr(Machine, "run", interrupted)
    assert run(kactors, path).exit_code == 130
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


def small_disk():
    """What a full disk does, for any user: no file may grow past 4 KiB."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


@pytest.mark.parametrize("until", ["40us", "1ms"], ids=["at-close", "while-it-runs"])
def test_a_full_disk_is_told_in_one_line_and_leaves_the_old_trace(tmp_path, until):
    path = tmp_path / "t.txt"
    path.write_text("precious")
    done = subprocess.run(
        [sys.executable, "-B", "-m", "kactors", "run", "ebizzy", *TINY, "--until", until, "--trace", path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=small_disk,
    )
    assert done.stderr == f"kactors: --trace {path}: File too large\n"
    assert done.returncode == 2
    assert path.read_text() == "precious"
