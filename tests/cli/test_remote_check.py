"""kactors check --connect: the same report, files of this folder, Ctrl-C, and nothing left behind."""

import os
import signal
import subprocess

import pytest

from tests.cli.test_check import MINE
from tests.cli.test_processes import KACTORS, PATIENCE_S, ROOT

SMALL = ("munmap-page", "--strategy", "random", "--max-schedules", "300")
DEADLOCK = ("mail-deadlock", "--policy", "broken-blocking-spin")


@pytest.fixture
def at(service):
    return ("--connect", str(service.address))


@pytest.mark.parametrize(
    "words",
    [
        SMALL,
        (*SMALL, "--json", "--seed", "3"),
        DEADLOCK,
        (*DEADLOCK, "--no-shrink", "--strategy", "exhaustive"),
        ("munmap-page", "--strategy", "exhaustive", "--keep-going"),
    ],
)
def test_a_search_in_the_service_prints_the_same(kactors, at, client, words):
    here, there = kactors("check", *words, "-j", "1"), kactors("check", *words, *at)
    assert (there.stdout, there.stderr, there.exit_code) == (here.stdout, "", here.exit_code)
    assert client.list_checks() == ()


def test_files_are_found_from_another_folder_and_the_line_that_replays_says_what_was_said(
    kactors, at, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(MINE)
    (tmp_path / "mine.py").write_text("from kactors.policies.classic import Classic\n\n\nclass Own(Classic): ...\n")
    words = ("check", "munmap-page", "--policy", "mine.py:Own", "--property", "own.py:Mine")
    here, there = kactors(*words, "-j", "1"), kactors(*words, *at)
    assert here.exit_code == 1
    assert there.stdout == here.stdout


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ((*SMALL, "-j", "2"), "--processes is for a run in this process"),
        (("munmap-page", "--cpus", "1"), "the service says"),
        ((*SMALL, "--max-steps", "10001"), "--max-steps"),
    ],
)
def test_what_does_not_go_there_is_told(refused, at, client, words, part):
    assert part in refused("check", *words, *at)
    assert client.list_checks() == ()


def test_ctrl_c_cancels_the_search_and_prints_what_was_covered(at, client):
    process = subprocess.Popen(
        [*KACTORS, "check", "munmap-page", "--strategy", "random", *at],
        cwd=ROOT,
        env=os.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not any(check.numbers.steps for check in client.list_checks()):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, complaint = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert "not complete" in out
    assert (complaint, process.returncode) == ("kactors: interrupted\n", 130)
    assert client.list_checks() == ()
