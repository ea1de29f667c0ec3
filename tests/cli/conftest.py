"""Runs the command line in this process."""

import lzma
from itertools import islice
from pathlib import Path

import pytest
from click.testing import CliRunner

from kactors.cli import main
from kactors.client.embedded import embedded_service

RECORDING = Path(__file__).parents[2] / "recordings" / "ebizzy-mTRp-t4.perf.txt.xz"
TINY = ("--machine", "small", "--set", "n=1", "--set", "s=4096")
"""A machine and an ebizzy whose set-up takes a few us."""


@pytest.fixture
def kactors():
    """Call it with the words of a command line: a result with exit_code, stdout and stderr."""

    def call(*words):
        return CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)

    return call


@pytest.fixture
def refused(kactors):
    """Call it with the words of a wrong request: the one line that it gets."""

    def call(*words):
        done = kactors(*words)
        assert done.exit_code == 2, done.output
        assert done.stdout == ""
        assert done.stderr.endswith("\n")
        (line,) = done.stderr.splitlines()
        assert line.startswith("kactors: ")
        return line.removeprefix("kactors: ")

    return call


@pytest.fixture
def short_recording(tmp_path):
    """The first 2,000 lines of a real recording, as plain text, and after them as many lines of nonsense as asked."""

    def write(nonsense=0):
        path = tmp_path / "short.perf.txt"
        with lzma.open(RECORDING, "rt", encoding="utf-8") as recording:
            path.write_text("".join(islice(recording, 2000)) + "nonsense\n" * nonsense)
        return path

    return write


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """A service in a thread of this process, for all tests of a file."""
    with embedded_service(tmp_path_factory.mktemp("k")) as running:
        yield running


@pytest.fixture
def client(service):
    """Of that service, which is left empty."""
    with service.open("test") as opened:
        yield opened
        for info in opened.list():
            opened.session(info.session).delete()
        for stats in opened.list_checks():
            opened.search(stats.check).delete()
