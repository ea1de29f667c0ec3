"""spin, as its users call it."""

import re
import shutil
import subprocess
from dataclasses import dataclass

import pytest

MISSING = [program for program in ("spin", "cc") if shutil.which(program) is None]
needs_spin = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")


@dataclass(frozen=True)
class Verdict:
    """What pan says: states stored, errors, what the first was, and the outcomes and findings that it printed."""

    stored: int
    errors: int
    first: str
    outcomes: tuple[str, ...]
    found: tuple[str, ...]


def verify(model, folder):
    (folder / "model.pml").write_text(model)
    _called(["spin", "-a", "model.pml"], folder)
    _called(["cc", "-O0", "-w", "-DSAFETY", "-DNOREDUCE", "-DPRINTF", "-o", "pan", "pan.c"], folder)
    said = _called(["./pan", "-m100000", "-e", "-c0"], folder)
    first = re.search(r"^pan:1: (.*) \(at depth", said, re.MULTILINE)
    return Verdict(
        stored=int(re.search(r"(\d+) states, stored", said)[1]),
        errors=int(re.search(r"errors: (\d+)", said)[1]),
        first=first[1] if first else "",
        outcomes=tuple(re.findall(r"outcome: (.*)", said)),
        found=tuple(re.findall(r"found: (\w+)", said)),
    )


def _called(words, folder):
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rror:" not in done.stdout.replace("errors:", ""), done.stdout
    return done.stdout
