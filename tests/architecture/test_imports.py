"""The import contracts of pyproject.toml hold, and each of them catches what it is there for."""

import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT_IMPORTS = Path(sysconfig.get_path("scripts")) / "lint-imports"

LAYERS = "Imports point downward only"
BOTTOM = "protocols knows no kactors"
TRIO = "Only the Trio runtime and the programs' outer ends import trio"


def lint_imports(folder):
    # In its own process, as it edits sys.path; without its cache, which a parallel run would share.
    command = [LINT_IMPORTS, "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def plant(folder, sources):
    """Write a kactors with nothing in it but these modules, under the contracts of the real one."""
    shutil.copy(ROOT / "pyproject.toml", folder)
    packages = {"kactors", "protocols"} | {module.rpartition(".")[0] for module in sources} - {""}
    for module, source in (dict.fromkeys(packages, "") | sources).items():
        package = folder.joinpath(*module.split("."))
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text(source)


def test_the_contracts_hold():
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "sources",
    [
        pytest.param({"kactors.cpu": "import kactors.engine", "kactors.engine": "import protocols"}, id="downward"),
        pytest.param({"kactors.workloads": "import kactors.recordings", "kactors.recordings": ""}, id="recordings"),
        pytest.param({"kactors.engine.trio_runtime": "import trio"}, id="trio-in-its-runtime"),
        pytest.param({"kactors.service.sockets": "import trio"}, id="trio-in-the-service"),
        pytest.param({"kactors.client.connector": "import trio"}, id="trio-in-the-client"),
        pytest.param({"kactors.mainjob": "import kactors.client", "kactors.client": ""}, id="mainjob-is-a-client"),
        pytest.param({"kactors.run": "import trio"}, id="trio-in-run"),
    ],
)
def test_the_contracts_let_through(tmp_path, sources):
    plant(tmp_path, sources)
    done = lint_imports(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("broken", "sources"),
    [
        (LAYERS, {"kactors.engine": "import kactors.cpu", "kactors.cpu": ""}),
        (LAYERS, {"kactors.cpu": "import kactors.mm", "kactors.mm": ""}),
        (LAYERS, {"kactors.policies": "import kactors.workloads", "kactors.workloads": ""}),
        (LAYERS, {"kactors.syscalls": "import kactors.policies", "kactors.policies": ""}),
        (LAYERS, {"kactors.recordings": "import kactors.engine", "kactors.engine": ""}),
        (LAYERS, {"kactors.run": "def f():\n import kactors.cli", "kactors.cli": ""}),
        (LAYERS, {"kactors.client": "import kactors.service", "kactors.service": ""}),
        (LAYERS, {"kactors.a_module_in_no_layer": ""}),
        (BOTTOM, {"protocols.ipi": "import kactors"}),
        (TRIO, {"kactors.cpu": "import trio"}),
        (TRIO, {"kactors.engine.core": "from trio import run"}),
        (TRIO, {"protocols": "import trio.lowlevel"}),
    ],
)
def test_the_contracts_catch(tmp_path, broken, sources):
    plant(tmp_path, sources)
    done = lint_imports(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{broken} BROKEN" in done.stdout
