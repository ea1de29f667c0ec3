"""What `make run` does."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kactors import mainjob
from kactors.client import ServiceLostError, connect
from kactors.client.embedded import embedded_service
from kactors.machines import load_machine
from kactors.mainjob import Size
from protocols.scenario import Bounds, Scenario

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60
WHOLE = ("-m", "kactors.mainjob")
ONE_SIZE = (
    "-c",
    "import sys; from kactors import mainjob; mainjob.SIZES = mainjob.SIZES[:1]; sys.exit(mainjob.main(sys.argv[1:]))",
)
TITLE = (
    b"replaying recordings/ebizzy-mTRp-t4.perf.txt.xz: classic, spf-v9, per-vma-6.15 on zen4-vm-2, x86-vm-16, x86-80\n"
)


@pytest.fixture
def short(monkeypatch, folder):
    """Two sizes, and as little of them as shows a table."""
    monkeypatch.setattr(mainjob, "SIZES", (Size("zen4-vm-2", 4, 300_000), Size("x86-vm-16", 32, 400_000)))


@pytest.fixture
def folder(monkeypatch, tmp_path_factory):
    """The folder in which it is called; short, for a socket's path."""
    path = tmp_path_factory.mktemp("m")
    monkeypatch.chdir(path)
    monkeypatch.delenv("KACTORS_CONNECT", raising=False)
    return path


def test_it_prints_a_table_and_three_sentences(short, capsys):
    assert mainjob.main(["--once"]) == 0
    out = capsys.readouterr().out
    title, window, _, header, *rest = out.splitlines()
    assert title.startswith(
        "replaying recordings/ebizzy-mTRp-t4.perf.txt.xz: classic, spf-v9, per-vma-6.15 on zen4-vm-2,"
    )
    assert (
        window == "the first 300 us on zen4-vm-2 (4 threads), 400 us on x86-vm-16 (32 threads) of virtual time, seed 1"
    )
    assert header.split()[:4] == ["CPUs", "policy", "steps/s", "gain"]
    names = [line.split()[:2] for line in rest[:6]]
    assert [names[0], names[3]] == [["2", "classic"], ["16", "classic"]]
    assert [name[0] for place, name in enumerate(names) if place not in (0, 3)] == ["spf-v9", "per-vma-6.15"] * 2
    sentences = rest[-3:]
    assert [line.split()[0] for line in sentences] == ["Who", "Over-allocated:", "IPI"]
    assert mainjob.main(["--once"]) == 0
    reused = capsys.readouterr().out
    assert reused == out + "(6 of the 6 runs were in the store: equal builds give equal runs)\n"


def test_its_runs_are_the_issues():
    runs = mainjob.scenarios(Path("x"))
    sizes = [(load_machine(run.machine).cpus, run.threads, run.policy) for run in runs]
    assert sizes == [
        (cpus, threads, policy)
        for cpus, threads in ((2, 4), (16, 32), (80, 160))
        for policy in ("classic", "spf-v9", "per-vma-6.15")
    ]
    for place in (0, 3, 6):
        assert len({run.model_copy(update={"policy": ""}).model_dump_json() for run in runs[place : place + 3]}) == 1


def test_a_finding_is_shown_and_ends_with_1(short, capsys, monkeypatch):
    def scenarios(recording):
        first, *others = asked(recording)
        bounds = Bounds(transient_pages_max=0)
        return [first, *(scenario.model_copy(update={"bounds": bounds}) for scenario in others)]

    asked = mainjob.scenarios
    monkeypatch.setattr(mainjob, "scenarios", scenarios)
    assert mainjob.main(["--once"]) == 1
    out = capsys.readouterr().out
    assert "spf-v9 on 2 CPUs:\n *** BOUND bounds.transient_pages_max exceeded" in out
    assert "classic on 2 CPUs:\n" not in out


def test_what_another_build_left_is_deleted_and_nothing_else(short, folder, capsys, monkeypatch):
    monkeypatch.setenv("KACTORS_ONCE", "1")
    with embedded_service(folder / "elsewhere") as service:
        monkeypatch.setenv("KACTORS_CONNECT", str(service.address))
        for client, name in ((mainjob.CLIENT, "main-of-old"), ("me", "mine")):
            with service.open(client) as opened:
                opened.create(Scenario(machine="small"), name=name)
        assert mainjob.main() == 0
        with service.open("me") as opened:
            names = [info.session for info in opened.list()]
    assert (len(names), names[0]) == (7, "mine")
    assert "main-of-old" not in names
    assert not (folder / ".kactors").exists()


def test_another_argument_is_refused(capsys, folder):
    with pytest.raises(SystemExit) as ended:
        mainjob.main(["--twice"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "kactors: --twice: the main job knows one argument, --once\n"


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
def start(folder):
    """Call it with a program and its words: a main job in a process, which does not outlive the test."""
    started = []

    def call(program, *words, stdout=subprocess.PIPE):
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        command = [sys.executable, *program, *words]
        streams = {"stdout": stdout, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen(command, cwd=folder, env=environment, **streams))
        return started[-1]

    yield call
    for process in started:
        process.kill()
        process.communicate()
    with embedded_service(folder / ".kactors"):
        pass  # which ends the service of a main job that was killed


def address_in(folder):
    return f"unix:{folder}/.kactors/kactors.sock"


def wait_for_a_session(folder):
    """Wait until the main job is in the middle of its work."""
    with connect(address_in(folder), connect_s=PATIENCE_S) as client:
        while not client.list():
            client.server_stats()


def nobody_serves(folder):
    with pytest.raises(ServiceLostError):
        connect(address_in(folder))
    return True


def test_the_first_line_comes_at_once_and_ctrl_c_ends_it_in_one_line(start):
    process = start(WHOLE)
    assert process.stdout.readline() == TITLE
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert (out, err, process.returncode) == (b"", b"kactors: interrupted\n", 130)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_service_ends_with_it(start, folder, how):
    process = start(WHOLE)
    wait_for_a_session(folder)
    process.send_signal(how)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert (err, process.returncode) == (b"kactors: interrupted\n", 130)
    assert nobody_serves(folder)
    assert (folder / ".kactors" / "kactors.sqlite").exists()


def test_after_the_table_it_serves_until_ctrl_c(start, folder):
    process = start(ONE_SIZE)
    while not (line := process.stdout.readline().decode()).startswith("serving at"):
        assert line
    assert line == (
        f"serving at {address_in(folder)} until Ctrl-C; talk to it with: kactors top --connect {address_in(folder)}\n"
    )
    with connect(address_in(folder)) as client:
        assert len(client.list()) == 3
    second = start(ONE_SIZE)
    assert b"(3 of the 3 runs were in the store" in second.communicate(timeout=PATIENCE_S)[0]
    assert second.returncode == 0
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=PATIENCE_S) == (b"", b"")
    assert process.returncode == 0
    assert nobody_serves(folder)


def test_a_second_one_goes_on_where_the_first_was_killed(start, folder):
    first = start(ONE_SIZE)
    wait_for_a_session(folder)
    first.kill()
    first.wait()
    second = start(ONE_SIZE, "--once")
    out, err = second.communicate(timeout=PATIENCE_S)
    assert (err, second.returncode) == (b"", 0)
    assert b"Who wins" in out
    assert nobody_serves(folder)


def test_a_broken_pipe_is_left_quietly(start, folder):
    ours, theirs = os.pipe()
    os.close(ours)
    process = start(WHOLE, stdout=theirs)
    os.close(theirs)
    assert process.stderr.read() == b""
    assert process.wait(timeout=PATIENCE_S) == 141
    assert nobody_serves(folder)
