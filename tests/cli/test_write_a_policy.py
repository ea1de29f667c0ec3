"""docs/write-a-policy.md: its files and commands run, and every line of output that it shows is printed."""

import re
import shlex
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "write-a-policy.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(# (\w+\.py)\n.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
FILES = {name: text for text, name in BLOCKS}
CONSOLES = re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SCHEDULE = re.compile(r"replay-schedule '([^']+)'")


def commands():
    """Yield each command with the lines of output that the page shows below it."""
    for console in CONSOLES:
        for block in re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]:
            command, *shown = block.splitlines()
            yield command, [plain(line) for line in shown if line.strip()]


def plain(line):
    """Return a line without what may move: white space, and the lines of our own source files."""
    ours = re.compile(r"(\w+\.py):\d+")
    line = ours.sub(lambda found: found[0] if found[1] in FILES else found[1], line)
    return " ".join(line.split())


def test_the_page_has_its_parts():
    assert list(FILES) == ["mine.py", "mended.py", "checked.py", "thrifty.py"]
    assert len(CONSOLES) == PAGE.count("```console")
    assert len(list(commands())) == PAGE.count("\n$ kactors ")


def test_every_command_of_the_page_prints_what_it_shows(kactors, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    schedule = "none was printed"
    for command, shown in commands():
        words = [schedule if word == "SCHEDULE" else word for word in shlex.split(command)[1:]]
        done = kactors(*words)
        assert done.exit_code == int(any("VIOLATION" in line for line in shown)), f"{command}\n{done.output}"
        printed = [plain(line) for line in done.stdout.splitlines()]
        assert shown
        for line in shown:
            assert line in printed, f"{command} does not print any more: {line}"
        schedule = found[1] if (found := SCHEDULE.search(done.stdout)) and "mine.py" in command else schedule


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (Path(__file__).parents[2] / "docs" / target).exists(), target
