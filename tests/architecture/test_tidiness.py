"""A repo linter: what no other tool here checks, each rule with a sample that it must catch.

Every word that a rule forbids is put together from pieces, so that this file passes its own rules.
"""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
BANNED_NAMES = {"utils", "helpers", "misc", "common"}

UNFINISHED = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X"]) + r")\b")
SILENCERS = re.compile(
    "|".join(["#\\s*type:\\s*" + "ignore", "\\bno" + "qa\\b", "pragma:\\s*no\\s*" + "cover", "mypy:\\s*" + "ignore"])
)
# At a path's start only: `mm/home/` is somebody's folder, and so is `kactors/workloads`.
MACHINE_PATHS = re.compile(r"(?<![\w.])/(" + "|".join(["home/", "root/", "work" + r"\b"]) + ")")
REGISTRY_HOSTS = re.compile("|".join(["pypi" + r"\.org", "python" + "hosted", r"registry\." + "npmjs"]))

# Which modules of kactors may import what is not determined; `kactors/cli` stands for cli.py and for cli/.
RANDOM = {"random"}
RANDOM_HOMES = ("kactors/engine/choices",)
WALL_CLOCK = {"time", "datetime"}
WALL_CLOCK_HOMES = ("kactors/service", "kactors/client", "kactors/sweep", "kactors/cli")
PROTOCOLS_MAY_IMPORT = sys.stdlib_module_names | {"protocols", "pydantic"}


def git_files():
    """What git tracks or would add, or nothing where ROOT is no checkout of its own."""

    def git(*arguments):
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    try:
        if Path(git("rev-parse", "--show-toplevel").strip()).resolve() != ROOT.resolve():
            return []
        listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    except (OSError, subprocess.CalledProcessError):
        return []
    return [ROOT / name for name in listed.split("\0") if name]


def walked_files(folder=ROOT):
    """What an unpacked archive holds, without what tools leave in it."""
    for path in folder.iterdir():
        if path.is_symlink() or path.name in {"__pycache__", "build", "dist"}:
            continue
        if path.is_dir() and (not path.name.startswith(".") or path.name == ".ci"):
            yield from walked_files(path)
        elif path.is_file() and not path.name.startswith(".coverage"):
            yield path


@cache
def texts():
    """Map each text file's path from ROOT, with slashes, to what it says."""
    found = {}
    for path in git_files() or walked_files():
        # git lists a file that was deleted and not yet committed as such.
        if path.is_file() and b"\0" not in (content := path.read_bytes()):
            found[path.relative_to(ROOT).as_posix()] = content.decode("utf-8", errors="replace")
    return found


def sources(*folders):
    return {
        path: text
        for path, text in texts().items()
        if path.endswith(".py") and (not folders or path.split("/")[0] in folders)
    }


def matches(pattern, path, text):
    for number, line in enumerate(text.splitlines(), 1):
        if found := pattern.search(line):
            yield f"{path}:{number}: {found[0]!r} in {line.strip()!r}"


def long_file(path, text):
    lines = len(text.splitlines())
    if lines > FILE_LINES_MAX:
        yield f"{path}: {lines} lines, at most {FILE_LINES_MAX}"


def long_functions(path, text):
    for node in ast.walk(ast.parse(text, path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = node.end_lineno - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield f"{path}:{node.lineno}: {node.name} has {lines} lines, at most {FUNCTION_LINES_MAX}"


def banned_names(path, _text):
    if banned := BANNED_NAMES & set(path.removesuffix(".py").split("/")):
        yield f"{path}: {banned.pop()} says nothing about what is in it"


def imported(path, text):
    """Yield (line, top-level package) of every absolute import, wherever it stands in the file."""
    for node in ast.walk(ast.parse(text, path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.split(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.lineno, node.module.split(".")[0]


def imports_outside_home(packages, homes, path, text):
    if not any(path == f"{home}.py" or path.startswith(f"{home}/") for home in homes):
        for line, package in imported(path, text):
            if package in packages:
                yield f"{path}:{line}: imports {package}, which only {', '.join(homes)} may"


def randomness(path, text):
    yield from imports_outside_home(RANDOM, RANDOM_HOMES, path, text)


def wall_clock(path, text):
    yield from imports_outside_home(WALL_CLOCK, WALL_CLOCK_HOMES, path, text)


def foreign_to_protocols(path, text):
    for line, package in imported(path, text):
        if package not in PROTOCOLS_MAY_IMPORT:
            yield f"{path}:{line}: protocols imports {package}, neither pydantic nor the standard library"


def unfinished(path, text):
    yield from matches(UNFINISHED, path, text)


def silencers(path, text):
    yield from matches(SILENCERS, path, text)


def machine_paths(path, text):
    yield from matches(MACHINE_PATHS, path, text)


def registry_hosts(path, text):
    yield from matches(REGISTRY_HOSTS, path, text)


def assert_none(rule, files):
    offences = [offence for path, text in files.items() for offence in rule(path, text)]
    assert not offences, "\n".join(["", *offences])


def test_the_repository_is_seen():
    assert {"pyproject.toml", "tests/architecture/test_tidiness.py"} <= set(texts())
    assert {path.relative_to(ROOT).as_posix() for path in walked_files()} >= set(sources())


@pytest.mark.parametrize("rule", [long_file, long_functions, banned_names, unfinished, silencers])
def test_every_python_file_obeys(rule):
    assert_none(rule, sources())


@pytest.mark.parametrize("rule", [machine_paths, registry_hosts])
def test_every_text_file_obeys(rule):
    assert_none(rule, texts())


@pytest.mark.parametrize("rule", [randomness, wall_clock])
def test_what_is_not_determined_stays_at_home(rule):
    assert_none(rule, sources("kactors", "protocols"))


def test_protocols_imports_pydantic_and_the_standard_library_only():
    assert_none(foreign_to_protocols, sources("protocols"))


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (long_file, "kactors/mm.py", "\n" * (FILE_LINES_MAX + 1)),
        (long_functions, "kactors/mm.py", "async def handle():\n" + "    pass\n" * FUNCTION_LINES_MAX),
        (long_functions, "kactors/mm.py", "class Mm:\n  def handle(self):\n" + "    pass\n" * FUNCTION_LINES_MAX),
        (banned_names, "kactors/engine/utils.py", ""),
        (banned_names, "kactors/common/vma.py", ""),
        (unfinished, "kactors/mm.py", "# TO" + "DO: merge"),
        (silencers, "kactors/mm.py", "x = 1  # type: " + "ignore[misc]"),
        (silencers, "kactors/mm.py", "import x  # no" + "qa: F401"),
        (silencers, "kactors/mm.py", "return  # pragma: no " + "cover"),
        (silencers, "kactors/mm.py", "# mypy: " + "ignore-errors"),
        (machine_paths, "README.md", "see /" + "home/me/kactors"),
        (machine_paths, "README.md", "`/" + "work/main`"),
        (machine_paths, "README.md", "cd /" + "work"),
        (registry_hosts, "constraints.txt", "x @ https://files.python" + "hosted.org/x.whl"),
        (randomness, "kactors/engine/core.py", "def f():\n    from random import Random"),
        (randomness, "kactors/engine/choices_of_mine.py", "import random as r"),
        (wall_clock, "kactors/cpu.py", "import os, time"),
        (wall_clock, "kactors/context.py", "from datetime import UTC"),
        (foreign_to_protocols, "protocols/ipi.py", "import trio.lowlevel"),
        (foreign_to_protocols, "protocols/ipi.py", "from kactors.engine import clock"),
    ],
)
def test_a_rule_catches(rule, path, text):
    assert len(list(rule(path, text))) == 1


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (long_file, "kactors/mm.py", "\n" * FILE_LINES_MAX),
        (long_functions, "kactors/mm.py", "def handle():\n" + "    pass\n" * (FUNCTION_LINES_MAX - 1)),
        (banned_names, "kactors/commons.py", ""),
        (machine_paths, "README.md", "kactors/workloads, /workloads, mm/" + "work, ./" + "home/x"),
        (randomness, "kactors/engine/choices.py", "import random"),
        (wall_clock, "kactors/service/sockets.py", "import time"),
        (wall_clock, "kactors/client/caller.py", "import time"),
        (wall_clock, "kactors/cli.py", "import time"),
        (wall_clock, "kactors/cpu.py", "time = 1"),
        (foreign_to_protocols, "protocols/ipi.py", "from __future__ import annotations\nfrom protocols import ids"),
    ],
)
def test_a_rule_lets_through(rule, path, text):
    assert not list(rule(path, text))
