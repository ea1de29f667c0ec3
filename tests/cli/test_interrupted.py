"""Ctrl-C ends the program with a line and 130 whenever it comes, also before there is a command line."""

import sys

import pytest

from kactors.__main__ import main


class CtrlC:
    """Comes while a module is looked for."""

    @staticmethod
    def find_spec(name, _path, _target=None):
        if name == "kactors.cli":
            raise KeyboardInterrupt


def test_while_the_command_line_is_loaded(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "kactors.cli", raising=False)
    monkeypatch.setattr(sys, "meta_path", [CtrlC, *sys.meta_path])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "kactors: interrupted\n"


def test_else_it_is_the_command_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["kactors", "nosuch"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("kactors: there is no command nosuch")
