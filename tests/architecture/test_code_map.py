"""The code map of ARCHITECTURE.md leads to every part of kactors and to each actor, tests/README.md to each folder."""

import re
from pathlib import Path

from protocols.roles import messages

ROOT = Path(__file__).parents[2]


def places(page):
    """Return what the first column of a page's tables names, by last names: `cpu.py`, `engine/`."""
    rows = re.findall(r"^\| (`.+?) \|", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    return {name.removeprefix("kactors/") for name in named}


def parts(folder):
    """Return the modules and packages directly in a folder, as a page names them."""
    modules = {path.name for path in folder.glob("*.py") if not path.name.startswith("__")}
    return modules | {f"{path.name}/" for path in folder.iterdir() if any(path.rglob("*.py"))}


def test_the_code_map_names_every_module_and_package():
    assert parts(ROOT / "kactors") - places("ARCHITECTURE.md") == set()


def test_the_code_map_names_every_actor():
    roles = {role for message in messages() for role in (*message.senders, *message.receivers)}
    assert {f"{role}.py" for role in roles} - places("ARCHITECTURE.md") == set()


def test_every_folder_of_tests_is_told_of():
    folders = {name for name in parts(ROOT / "tests") if name.endswith("/")}
    assert folders - places("tests/README.md") == set()
