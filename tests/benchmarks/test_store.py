"""The store's benchmark runs, prints its columns, and leaves nothing behind. Nothing is timed."""

import subprocess
import sys

import pytest

from benchmarks import store


def run(*arguments):
    command = [sys.executable, "-m", "benchmarks.store", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_prints_a_row_for_each_size_of_a_group(tmp_path):
    done = run("--quick", str(tmp_path))
    assert done.returncode == 0, done.stderr
    head, *rows, empty, flush = done.stdout.splitlines()
    assert head.split() == ["changes", "a", "commit", "commits/s", "changes/s", "ms/commit"]
    assert [int(row.split()[0]) for row in rows] == list(store.GROUP_SIZES)
    for row in rows:
        size, commits, changes, _ = (float(word.replace(",", "")) for word in row.split())
        assert changes == pytest.approx(size * commits, rel=0.1)
    assert (empty, flush.split(": ")[0]) == ("", "4 KiB and fsync alone")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["--slow"], ["here", "there"]])
def test_it_refuses_what_it_does_not_know(arguments):
    assert "usage" in run(*arguments).stderr
