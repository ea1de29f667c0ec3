"""What takes long shows one line on stderr where that is a terminal, and nothing anywhere else."""

import subprocess

import pytest

from tests.cli.test_processes import PATIENCE_S, Terminal, start
from tests.studies.test_validate import cut

__all__ = ["start"]

SMALL = ("--machine", "small", "--set", "n=1", "--set", "s=4096", "--until", "200us")


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    return cut(tmp_path_factory.mktemp("recordings"))


@pytest.fixture
def shown(start):
    """Call it with the words of a command line: what a terminal on stderr shows, stdout being a pipe."""

    def call(*words):
        terminal = Terminal()
        process = start(*words, stdout=subprocess.PIPE, stderr=terminal.end)
        terminal.hand_over()
        text = terminal.read_all()
        assert process.communicate(timeout=PATIENCE_S)[0]
        assert process.returncode == 0, text
        return text

    return call


def commands(short):
    return {
        "per-vma-6.15": ("validate", short),
        "classic": ("run", "ebizzy", "--policy", "classic", *SMALL, "--precision", "50%"),
        "runs": ("scale", "ebizzy", "--set", "n=1", "--set", "s=4096", "--cpus", "1", "--events-max", 2000),
    }


@pytest.mark.parametrize("title", ["per-vma-6.15", "classic", "runs"])
def test_a_terminal_shows_a_line_and_loses_it_again(shown, short, title):
    text = shown(*commands(short)[title])
    assert title in text
    assert "\x1b[2K" in text, "it is erased at the end"


@pytest.mark.parametrize("title", ["per-vma-6.15", "classic", "runs"])
def test_json_that_goes_into_a_pipe_has_the_terminal_to_itself(shown, short, title):
    assert shown(*commands(short)[title], "--json") == ""


@pytest.mark.parametrize("title", ["per-vma-6.15", "classic", "runs"])
def test_without_a_terminal_there_is_none(kactors, short, title):
    done = kactors(*commands(short)[title])
    assert (done.exit_code, done.stderr) == (0, "")
