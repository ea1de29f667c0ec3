"""Every program of docs/clients.md runs as it stands there."""

import re
import sys

import pytest

from kactors import Scenario, run
from tests.service.foreign.served import NODE_MODULES, ROOT, go, go_settings, neovim, node, output, ruby

PAGE = (ROOT / "docs" / "clients.md").read_text()
BLOCK = re.compile(r'^```\w+\n(?:#|//|--|") ([a-z_]+\.[a-z]+)\n(.*?)^```$', re.MULTILINE | re.DOTALL)
PROGRAMS = dict(BLOCK.findall(PAGE))
SCENARIO = Scenario(workload="ebizzy", machine="small", until_ns=2_000_000)


def command(path, folder):
    """Return how the page's reader would start a program, and what it needs in its environment."""
    match path.suffix:
        case ".py":
            return [sys.executable, path], {}
        case ".js":
            return [node(), path], {"NODE_PATH": str(NODE_MODULES)}
        case ".rb":
            return [ruby(), path], {}
        case ".go":
            return [go(), "run", path], go_settings(folder)
        case ".lua" | ".vim":
            return [neovim(), "--headless", "--clean", "-n", "-S", path, "+q"], {}
    pytest.fail(f"nobody here knows how to run {path.name}")


def test_every_block_is_a_program_with_a_name():
    assert len(PROGRAMS) == PAGE.count("```") // 2
    assert len(PROGRAMS) >= 8


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_of_the_page_prints_the_faults(served, tmp_path, tmp_path_factory, name):
    path = tmp_path / name
    path.write_text(PROGRAMS[name])
    words, settings = command(path, tmp_path_factory.getbasetemp())
    printed = output(words, SOCKET=served["unix"].removeprefix("unix:"), **settings)
    assert printed.split() == [str(run(SCENARIO).counters.faults), "faults"]


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((\.\./[^)]+)\)", PAGE))))
def test_a_link_of_the_page_leads_somewhere(target):
    path, _, heading = target.partition("#")
    there = ROOT / "docs" / path
    assert there.exists()
    if heading:
        headings = re.findall(r"^#+ (.*)$", there.read_text(), re.MULTILINE)
        assert heading in {re.sub(r"[^a-z0-9_ -]", "", text.lower()).replace(" ", "-") for text in headings}
