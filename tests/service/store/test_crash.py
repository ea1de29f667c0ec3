"""kill -9 in the middle of commits: what was acknowledged is there, and nothing in part."""

import json
import random
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from kactors.service.store import Store
from tests.service.store.committing import summary

ROOT = Path(__file__).parents[3]
KILLS = 20


def killed(path, seed):
    """Let a process commit, kill it at a seeded moment, and return what it printed."""
    numbers = random.Random(seed)
    command = [sys.executable, "-m", "tests.service.store.committing", path, str(seed)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        lines = [process.stdout.readline()]
        lines += [process.stdout.readline() for _ in range(numbers.randrange(1, 40))]
        time.sleep(numbers.uniform(0, 0.003))
        process.kill()
        lines += process.stdout.readlines()
    assert lines[0] == "ready\n"
    # The last line may be half.
    return [line for line in lines[1:] if line.endswith("\n")]


def test_after_a_kill_the_store_is_at_the_last_acknowledged_commit_or_at_the_one_under_way(path):
    expected, cut = {}, 0
    for seed in range(KILLS):
        tried = None
        for line in killed(path, seed):
            if line == "done\n":
                expected, tried = tried, None
            else:
                tried = json.loads(line.removeprefix("try "))
        with closing(Store.open(path)) as store:
            assert store.integrity_check() == []
            found = summary(store)
            assert found in (expected, tried)
        cut += tried is not None
        expected = found
    assert cut > 0, "no kill came between a commit's begin and its acknowledgement"
