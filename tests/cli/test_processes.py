"""What only a real process shows: pipes that break, Ctrl-C, a terminal."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import TINY

ROOT = Path(__file__).parents[2]
KACTORS = [sys.executable, "-m", "kactors"]
PATIENCE_S = 30
LONG = ["run", "ebizzy", *TINY, "--until", "1000s"]


@pytest.fixture
def start():
    """Call it with the words of a command line: a process, which does not outlive the test."""
    started = []

    def call(*words, **streams):
        started.append(subprocess.Popen([*KACTORS, *map(str, words)], cwd=ROOT, **streams))
        return started[-1]

    yield call
    for process in started:
        process.kill()
        process.communicate()


class Terminal:
    """A pseudo-terminal: give its ``end`` to a process, read what it shows."""

    def __init__(self):
        self._ours, self.end = pty.openpty()
        self.text = ""

    def hand_over(self):
        """Close our copy of the process's end, so that reading ends when the process does."""
        os.close(self.end)

    def read_until(self, pattern):
        deadline = time.monotonic() + PATIENCE_S
        while not re.search(pattern, self.text) and time.monotonic() < deadline and (more := self._more()):
            self.text += more
        assert re.search(pattern, self.text), self.text[-500:]

    def read_all(self):
        while more := self._more():
            self.text += more
        os.close(self._ours)
        return self.text

    def _more(self):
        assert select.select([self._ours], [], [], PATIENCE_S)[0], f"nothing more than {self.text!r}"
        try:
            return os.read(self._ours, 65536).decode()
        except OSError:  # Linux's word for: nobody holds the other end any more
            return ""


def test_a_broken_pipe_is_left_quietly(start):
    process = start("messages", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(PATIENCE_S) == 141


def test_a_full_disk_is_no_traceback(start):
    with Path("/dev/full").open("wb") as full:
        process = start("list", stdout=full, stderr=subprocess.PIPE)
    assert process.stderr.read() == b"kactors: No space left on device\n"
    assert process.wait(PATIENCE_S) == 2


def test_output_in_a_pipe_has_no_colours_and_no_bar(start):
    process = start("run", "ebizzy", *TINY, "--until", "100us", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert err == b""
    assert b"\x1b" not in out
    assert out.startswith(b" Performance counter stats")


@pytest.mark.parametrize("command", ["messages", "list"])
def test_ascii_is_enough(start, command):
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    process = start(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.communicate(timeout=PATIENCE_S)[1] == b""
    assert process.returncode == 0


@pytest.mark.parametrize("runtime", ["inline", "trio"])
def test_a_terminal_shows_progress_and_ctrl_c_ends_it(start, runtime):
    terminal = Terminal()
    process = start(*LONG, "--runtime", runtime, stdout=subprocess.PIPE, stderr=terminal.end)
    terminal.hand_over()
    terminal.read_until(r"virtual time [0-9.]+ .?s of 1,000 s, [0-9,]+ events/s")
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=PATIENCE_S)[0] == b""
    assert process.returncode == 130
    text = terminal.read_all()
    assert text.endswith("\r\nkactors: interrupted\r\n")
    assert "Traceback" not in text


@pytest.mark.parametrize("processes", [1, 2])
def test_a_search_shows_progress_and_ctrl_c_prints_what_was_covered(start, processes):
    terminal = Terminal()
    words = ("check", "munmap-vs-fault", "--set", "pages=1", "--strategy", "random", "-j", processes)
    process = start(*words, stdout=subprocess.PIPE, stderr=terminal.end)
    terminal.hand_over()
    terminal.read_until(r"[0-9,]+ schedules, [0-9,]+ states, [0-9,]+ deliveries/s")
    process.send_signal(signal.SIGINT)
    out = process.communicate(timeout=PATIENCE_S)[0].decode()
    assert process.returncode == 130
    assert "schedules are drawn, so an interleaving that was not drawn was not seen" in out
    assert "Never taken" in out
    text = terminal.read_all()
    assert text.endswith("kactors: interrupted\r\n")
    assert "Traceback" not in text


def test_progress_changes_nothing_of_the_run(start):
    terminal = Terminal()
    words = ("run", "ebizzy", *TINY, "--until", "1ms", "--json")
    watched = start(*words, stdout=subprocess.PIPE, stderr=terminal.end)
    terminal.hand_over()
    shown = watched.communicate(timeout=PATIENCE_S)[0]
    assert "spf-v9" in terminal.read_all()
    unwatched = start(*words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert shown == unwatched.communicate(timeout=PATIENCE_S)[0]


def test_compare_shows_its_runs_on_a_terminal(start):
    terminal = Terminal()
    words = ("compare", "ebizzy", *TINY, "--until", "100us", "--policies", "classic,spf-v9")
    process = start(*words, stdout=subprocess.PIPE, stderr=terminal.end)
    terminal.hand_over()
    assert b"\x1b" not in process.communicate(timeout=PATIENCE_S)[0]
    assert process.returncode == 0
    assert "2/2" in terminal.read_all()


def test_messages_fit_a_terminal(start):
    terminal = Terminal()
    process = start("messages", stdout=terminal.end, env=os.environ | {"COLUMNS": "90", "TERM": "xterm"})
    terminal.hand_over()
    lines = terminal.read_all().splitlines()
    assert process.wait(PATIENCE_S) == 0
    assert 80 < max(map(len, lines)) <= 90
