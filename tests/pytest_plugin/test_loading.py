"""How pytest comes by the plugin, and that nobody pays for it who does not use it."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.pytest_plugin.conftest import SCENE

ROOT = Path(__file__).parents[2]


@pytest.fixture
def elsewhere(tmp_path):
    """Run pytest as a user does, in a process of its own, in a folder of his."""

    def run(source, *options, plugin=("-p", "kactors.pytest_plugin"), path=()):
        (tmp_path / "pytest.ini").write_text("[pytest]\ntrio_mode = true\n")
        (tmp_path / "test_inner.py").write_text(SCENE + source)
        command = [sys.executable, "-m", "pytest", *plugin, "-p", "no:cacheprovider", *options]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*path, str(ROOT)]), "PYTEST_ADDOPTS": ""}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def installed(tmp_path_factory):
    """What an installation of kactors, under another name, puts beside its packages."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    points = [f"{name} = {module}" for name, module in project["entry-points"]["pytest11"].items()]
    folder = tmp_path_factory.mktemp("installed")
    info = folder / "installed_kactors-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: installed-kactors\nVersion: 1\n")
    (info / "entry_points.txt").write_text("\n".join(["[pytest11]", *points, ""]))
    (info / "RECORD").write_text(
        "kactors/__init__.py,,\nkactors/pytest_plugin/__init__.py,,\nprotocols/__init__.py,,\n"
    )
    return str(folder)


@pytest.mark.parametrize("named_too", [(), ("-p", "kactors.pytest_plugin")])
def test_an_installation_brings_it(elsewhere, installed, named_too):
    source = "async def test_it(machine):\n    await machine(program=[fault], set_up=area).run()\n"
    done = elsewhere(source, "-W", "error", plugin=named_too, path=[installed])
    assert done.returncode == 0, done.stdout + done.stderr
    without = elsewhere(source, plugin=["-p", "no:kactors.pytest_plugin"], path=[installed])
    assert "fixture 'machine' not found" in without.stdout


def test_loading_it_loads_nothing_else_of_kactors():
    script = "import sys, kactors.pytest_plugin; print(*sorted(m for m in sys.modules if m.split('.')[0] == 'kactors'))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["kactors", "kactors.pytest_plugin"]


def test_the_package_has_its_names_in_any_order():
    script = "import kactors.run, kactors; from kactors import Scenario, run; print(run.__name__, kactors.run is run)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "run True\n"


@pytest.mark.parametrize("workers", [[], ["-n", "2"]])
def test_coverage_sees_kactors_from_its_first_line(elsewhere, workers):
    done = elsewhere(
        "def test_it(explored):\n    explored(program=[fault], set_up=area)\n",
        *workers,
        "--cov=kactors.kernel",
        "--cov-report=term-missing",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.endswith("%") and "kernel/lockdep.py" in line]
    assert line.endswith("100%")


def test_workers_find_the_same(elsewhere):
    source = """
@pytest.mark.seeds(3)
async def test_run(machine, seed):
    m = machine(program=[fault, unmap], set_up=area)
    await m.run()
    assert not m.position().fingerprint


@pytest.mark.parametrize("number", range(2))
@pytest.mark.explore(policy="broken-blocking-spin")
def test_search(explored, number):
    explored(**MAIL)
"""

    def told(*options):
        lines = elsewhere(source, *options).stdout.splitlines()
        return sorted(line for line in lines if line.startswith(("E  ", "pytest test_inner.py")))

    alone = told()
    assert len(alone) >= 3 + 2 * 2
    assert told("-n", "2") == alone
