"""Every example of docs/pytest-plugin.md runs as it stands there."""

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "pytest-plugin.md").read_text()
BLOCKS = re.findall(r"```(python|toml)\n# (\S+)\n(.*?)```", PAGE, re.DOTALL)
NAMES = [name for _, name, _ in BLOCKS]


def test_the_page_has_examples():
    assert len(NAMES) == len(set(NAMES)) >= 5
    assert len(BLOCKS) == PAGE.count("```") // 2


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("test_")])
def test_an_example_runs(pytester, monkeypatch, name):
    monkeypatch.delenv("CI", raising=False)
    pytester.makeini("[pytest]\ntrio_mode = true\n")
    for _, file, source in BLOCKS:
        if file == name or not file.startswith("test_"):
            (pytester.path / file).write_text(source)
    arguments = ("-p", "kactors.pytest_plugin", "-p", "no:cacheprovider", name)
    if "golden" in name:
        pytester.runpytest_inprocess(*arguments, "--update-traces")
    result = pytester.runpytest_inprocess(*arguments)
    outcomes = result.parseoutcomes()
    assert outcomes.get("passed", 0) >= 1
    assert set(outcomes) <= {"passed"}
