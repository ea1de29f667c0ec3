"""The vocabulary's tables and the catalogue hold everything that there is."""

import pytest

from kactors.machines import load_machine, machine_names
from kactors.policies import BROKEN, POLICIES
from kactors.report.catalogue import catalogue
from kactors.report.vocabulary import COLUMNS, declared_in, fields, vocabulary
from kactors.workloads import WORKLOADS
from protocols.allocation import AllocPages, PagesAllocated
from protocols.mmap_sem import DownRead
from protocols.roles import CONVERSATIONS
from protocols.vma import VmaFound


def rows(conversation):
    """The lines of one conversation's table."""
    name = conversation.__name__.rpartition(".")[2]
    text = vocabulary()
    block = text[text.index(f"{name}: ") :].split("\n\n")[1]
    return block.splitlines()


@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=lambda module: module.__name__)
def test_every_message_has_its_line(conversation):
    header, *lines = rows(conversation)
    assert header.split() == list(COLUMNS)
    declared = declared_in(conversation)
    assert declared
    assert [line.split()[0] for line in lines] == [cls.__name__ for cls in declared]
    for cls, line in zip(declared, lines, strict=True):
        assert ", ".join(cls.senders) in line
        assert ", ".join(cls.receivers) in line
        assert ", ".join(cls.replies) in line
        assert line.endswith(cls.__doc__.splitlines()[0])


def test_a_line_says_who_asks_whom_and_who_answers():
    line = next(line for line in rows(CONVERSATIONS[1]) if line.startswith("  DownRead"))
    assert line.split("  ")[1:] != []
    assert [cell.strip() for cell in line.split("  ") if cell.strip()] == [
        "DownRead",
        "cpu, khugepaged",
        "mm",
        "MmapSemAcquired, MustSleep",
        DownRead.__doc__.splitlines()[0],
    ]


def test_fields_have_their_units():
    assert fields(AllocPages) == "order (count), count (count), memalloc (bool)"
    assert fields(PagesAllocated) == "pfns (page frame number)"
    assert fields(VmaFound) == "vma (VmaSnapshot)"
    assert fields(DownRead) == ""


def test_a_terminal_gets_lines_that_fit():
    wide, narrow = vocabulary(), vocabulary(100)
    assert max(map(len, narrow.splitlines())) <= 100 < max(map(len, wide.splitlines()))
    assert "AllocPages" in narrow


def test_neither_has_colours_or_trailing_blanks():
    for text in (vocabulary(), vocabulary(80), catalogue()):
        assert "\x1b" not in text
        assert all(line == line.rstrip() for line in text.splitlines())


def test_the_catalogue_names_everything_with_its_defaults():
    text = catalogue()
    for name in (*POLICIES, *BROKEN, *WORKLOADS, *machine_names()):
        assert f"  {name}" in text
    for workload in WORKLOADS.values():
        for key in workload.options_type.model_fields:
            assert f"      {key} = " in text
    assert "      file = required\n" in text
    assert "      m = true" in text
    assert "Broken policies" in text


def test_every_workload_shows_its_options():
    assert all(workload.options_type is not None for workload in WORKLOADS.values())


def test_a_machine_shows_cpus_and_page_size():
    line = next(line for line in catalogue().splitlines() if line.startswith("  p8-80"))
    assert load_machine("p8-80").page_size == 65536
    assert line.split() == ["p8-80", "80", "64.0", "KiB", "tlbie"]
