"""Commands that talk to a service: run and compare in it, call its methods, watch it."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from protocols.scenario import Scenario
from protocols.service.searches import CheckStartParams
from tests.cli.conftest import TINY
from tests.cli.test_processes import KACTORS, PATIENCE_S, Terminal

ROOT = Path(__file__).parents[2]
SHORT = ("ebizzy", *TINY, "--until", "200us")
ENDLESS = Scenario(machine="small", options={"n": 1, "s": 4096})
LONG = ("run", "ebizzy", *TINY, "--until", "1000s")


@pytest.fixture
def at(service, client, monkeypatch):
    """The words that name the service, which is empty before and afterwards; the default of `client` and `top`."""
    monkeypatch.setenv("KACTORS_CONNECT", str(service.address))
    return ("--connect", str(service.address))


@pytest.mark.parametrize(
    "words",
    [
        ("run", *SHORT),
        ("run", *SHORT, "--json"),
        ("compare", *SHORT, "--policies", "classic,per-vma"),
        ("compare", *SHORT, "--policies", "classic,per-vma", "--json"),
        ("run", "same-address", "--machine", "small", "--cpus", "4", "--set", "bounds.transient_pages_max=0"),
    ],
)
def test_a_run_in_the_service_is_the_same_run(kactors, at, client, words):
    here, there = kactors(*words), kactors(*words, *at)
    assert (there.stdout, there.stderr, there.exit_code) == (here.stdout, "", here.exit_code)
    assert client.list() == ()


def test_files_are_found_from_another_folder(kactors, at, short_recording, monkeypatch):
    path = short_recording()
    monkeypatch.chdir(path.parent)
    (path.parent / "mine.py").write_text("from kactors.policies.classic import Classic\n\n\nclass Mine(Classic): ...\n")
    words = ("replay", path.name, "--policy", "mine.py:Mine", "--machine", "zen4-vm-2", "--until", "200us")
    assert kactors(*words, *at).stdout == kactors(*words).stdout


def test_a_kept_session_stays(kactors, at, client):
    done = kactors("run", *SHORT, "--keep", *at)
    (info,) = client.list()
    assert done.stderr == f"kept: session {info.session} at {client.address}\n"


@pytest.mark.parametrize("command", [("messages",), ("list",), ("schema", "result")])
def test_what_equal_builds_agree_on_is_answered_here(kactors, at, command, monkeypatch):
    monkeypatch.setattr("kactors.service.server.build_fingerprint", lambda: kactors_build(kactors))
    assert kactors(*command, *at).stdout == kactors(*command).stdout


def kactors_build(kactors):
    return json.loads(kactors("client", "hello").stdout)["fingerprint"]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["run", *SHORT, "--trace", "x.txt"], ["--trace", "in this process", "--connect"]),
        (["run", *SHORT, "--runtime", "trio"], ["--runtime", "in this process"]),
        (["run", *SHORT, "--no-check"], ["--no-check"]),
        (["compare", *SHORT, "--no-check"], ["--no-check"]),
        (["run", *SHORT, "--machine", "no.toml"], ["the service says", "no.toml"]),
        (["run", *SHORT, "--token-file", "none"], ["--token-file none", "No such file"]),
        (["run", *SHORT, "--token-env", "NO_SUCH"], ["--token-env NO_SUCH"]),
        (["run", *SHORT, "--token-env", "A", "--token-file", "b"], ["give one of them"]),
    ],
)
def test_what_does_not_go_there_is_told(refused, at, words, parts):
    line = refused(*words, *at)
    assert all(part in line for part in parts), line


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["run", *SHORT, "--keep"], ["--keep", "add --connect"]),
        (["run", *SHORT, "--token-env", "A"], ["add --connect"]),
        (["run", *SHORT, "--connect", "nonsense"], ["nonsense", "tcp:host:port"]),
        (["run", *SHORT, "--connect", "unix:/no/such"], ["unix:/no/such does not answer", "kactors serve"]),
        (["client", "sim.list", "--connect", "unix:/no/such"], ["unix:/no/such does not answer"]),
        (["top", "--connect", "unix:/no/such"], ["unix:/no/such does not answer"]),
        (["client", "sim.stp"], ["no method sim.stp", "did you mean sim.step?"]),
        (["client", "zzz"], ["no method zzz", "--help"]),
        (["client", "sim.step", "sesion=a"], ["sim.step has no param sesion", "did you mean session?"]),
        (["client", "sim.step", "session=a", "events=x"], ["events", "whole number"]),
        (["client", "sim.step", "session"], ["session", "KEY=VALUE"]),
        (["client", "sim.step", "a=1", "a.b=2"], ["a.b=2"]),
        (["client", "sim.step", "{"], ["no JSON"]),
        (["client", "events", "a", "--topics", "nonsense"], ["topics", "transient_pages"]),
        (["client", "events", "a", "--only", "wait=1"], ["wait", "wait_min_ns"]),
    ],
)
def test_bad_input_gets_one_line(refused, words, parts):
    line = refused(*words)
    assert all(part in line for part in parts), line


def test_any_method_can_be_called(kactors, at, client):
    words = ("scenario.workload=ebizzy", "scenario.machine=small", "scenario.options.n=1", "name=mine")
    made = json.loads(kactors("client", "sim.create", *words).stdout)
    assert (made["session"], made["state"]) == ("mine", "paused")
    stepped = json.loads(kactors("client", "sim.step", json.dumps({"session": "mine", "events": 10})).stdout)
    assert stepped["position"]["events"] == 10
    assert json.loads(kactors("client", "hello", "client=me", *at).stdout)["client"] == "me"
    done = kactors("client", "sim.delete", "session=nope")
    assert (done.exit_code, done.stderr) == (
        2,
        "kactors: the service says: there is no session nope; sim.list shows those there are\n",
    )


def test_the_methods_are_listed(kactors):
    assert "sim.step_back" in kactors("client", "--help").stdout
    assert "if_sequence" in kactors("client", "sim.step", "--help").stdout


def test_a_token_may_stand_in_a_file_or_a_variable(kactors, at, tmp_path, monkeypatch):
    (tmp_path / "token").write_text("# of mine\nme 0123456789abcdef\n")
    monkeypatch.setenv("MY_TOKEN", "0123456789abcdef")
    for words in (("--token-file", tmp_path / "token"), ("--token-env", "MY_TOKEN")):
        assert kactors("client", "sim.list", *words).exit_code == 0


def test_top_shows_the_sessions_once(kactors, at, client):
    client.create(ENDLESS, name="mine").step(events=10)
    done = kactors("top", "--once")
    head, _, titles, row = done.stdout.splitlines()
    assert head.startswith(f"kactors 0.1.0 at {client.address}, up ")
    assert titles.split()[:4] == ["session", "policy", "machine", "state"]
    assert row.split()[:5] == ["mine", "spf-v9", "small", "paused", "10"]


def test_top_shows_the_searches_below(kactors, at, client):
    client.check(CheckStartParams(scenario=Scenario(workload="mail", machine="small"), strategy="dpor", name="all"))
    scenario = Scenario(workload="mail-deadlock", machine="small", policy="broken-blocking-spin")
    found = client.check(CheckStartParams(scenario=scenario, strategy="exhaustive", name="found", shrink=False))
    numbers = found.wait().numbers
    head, _, titles, running, ended = kactors("top", "--once").stdout.splitlines()
    assert ", 0 sessions, 0 running, 2 searches, 1 running, " in head
    assert titles.split()[:6] == ["search", "policy", "machine", "strategy", "state", "found"]
    assert running.split()[:6] == ["all", "spf-v9", "small", "dpor", "running", "-"]
    covered = [numbers.schedules, numbers.states, numbers.frontier, numbers.steps]
    assert ended.split() == [
        *("found", "broken-blocking-spin", "small", "exhaustive", "ended", "deadlock"),
        *(f"{number:,}" for number in covered),
        "-",
    ]


@pytest.fixture
def start():
    started = []

    def call(*words, **streams):
        started.append(subprocess.Popen([*KACTORS, *words], cwd=ROOT, **streams))
        return started[-1]

    yield call
    for process in started:
        process.kill()
        process.communicate()


def test_top_refreshes_until_ctrl_c(start, at, client):
    client.create(ENDLESS, name="mine").start()
    terminal = Terminal()
    process = start("top", stdout=terminal.end, stderr=terminal.end, env=os.environ | {"COLUMNS": "200"})
    terminal.hand_over()
    terminal.read_until("small +running(?s:.*)small +running")
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE_S) == 0
    assert "Traceback" not in terminal.read_all()


def test_events_are_lines_until_ctrl_c(start, at, client):
    session = client.create(ENDLESS, name="mine")
    process = start("client", "events", "mine", "--interval-ns", "1000", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not session.stats().subscriptions:
        session.look()
    session.run_until(20_000)
    lines = [json.loads(process.stdout.readline()) for _ in range(3)]
    assert [line["number"] for line in lines] == [1, 2, 3]
    assert lines[0]["data"]["state"] == "running"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=PATIENCE_S)[1] == b""
    assert process.returncode == 0


def test_a_terminal_shows_progress_and_ctrl_c_deletes_the_session(start, at, client):
    terminal = Terminal()
    process = start(*LONG, *at, stdout=subprocess.PIPE, stderr=terminal.end)
    terminal.hand_over()
    terminal.read_until(r"virtual time [0-9.]+ .?s of 1,000 s, [0-9,]+ events/s")
    assert len(client.list()) == 1
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=PATIENCE_S)[0] == b""
    assert process.returncode == 130
    assert terminal.read_all().endswith("\r\nkactors: interrupted\r\n")
    assert client.list() == ()
