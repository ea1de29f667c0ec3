"""The log: JSON for machines, lines for people, secrets for nobody, and never a reason to stop."""

import io
import json
from pathlib import Path

import pytest
import structlog

from kactors.engine.errors import UsageError
from kactors.service.logs import BLANK, configure, logger


@pytest.fixture(autouse=True)
def _as_it_was():
    before = structlog.get_config()
    yield
    structlog.configure(**before)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def lines(file):
    return [json.loads(line) for line in file.getvalue().splitlines()]


def test_json_is_a_line_an_event():
    file = io.StringIO()
    configure("json", file=file)
    logger("store", session="s1").info("committed", rows=3, of={"a", 1} - {1})
    logger("store").warning("slow\nvery", seconds=0.5)
    first, second = lines(file)
    assert first.pop("timestamp").endswith("Z")
    assert first == {"event": "committed", "level": "info", "part": "store", "session": "s1", "rows": 3, "of": "{'a'}"}
    assert second["event"] == "slow\nvery"


def test_a_terminal_gets_text_and_a_pipe_json():
    terminal, pipe = Terminal(), io.StringIO()
    for file in (terminal, pipe):
        configure(file=file)
        logger("http").info("listening")
    assert "listening" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")
    assert lines(pipe)[0]["event"] == "listening"


def test_stderr_is_where_it_goes(capsys):
    configure("json")
    logger("http").error("broken")
    out, err = capsys.readouterr()
    assert (out, json.loads(err)["event"]) == ("", "broken")


def test_levels():
    file = io.StringIO()
    made_before = logger("x")
    configure("json", "warning", file)
    for level in ("debug", "info", "warning", "error"):
        getattr(made_before, level)(level)
    assert [line["level"] for line in lines(file)] == ["warning", "error"]


@pytest.mark.parametrize("style", ["json", "console"])
def test_no_secret_is_shown_at_any_depth(style):
    file = io.StringIO()
    configure(style, file=file)
    logger("rpc", token="s3cret").info(
        "hello",
        Authorization="s3cret",
        params=[{"client": "anna", "token": "s3cret", "more": ({"TOKEN": ["s3cret"]},)}],
        token_file="/etc/tokens",
    )
    assert "s3cret" not in file.getvalue()
    assert file.getvalue().count(BLANK) == 4
    assert "anna" in file.getvalue()
    assert "/etc/tokens" in file.getvalue()


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_traceback_shows_no_local_variables(style):
    file = io.StringIO()
    configure(style, file=file)

    def fail(answer):
        kept = "s3cret" + "-" + answer
        raise ValueError(len(kept))

    try:
        fail("local")
    except ValueError:
        logger("rpc").exception("crashed")
    assert "ValueError: 12" in file.getvalue()
    assert "s3cret-local" not in file.getvalue()


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_client_s_name_writes_no_lines_and_steers_no_terminal(style):
    file = io.StringIO()
    configure(style, file=file)
    logger("rpc").info("hello", client="anna\n\x1b[2Jevil\r\ud800")
    assert len(file.getvalue().splitlines()) == 1
    assert "\x1b[2J" not in file.getvalue()
    assert "\ud800" not in file.getvalue()


def test_a_log_that_cannot_be_written_is_no_reason_to_stop():
    closed = io.StringIO()
    closed.close()
    kept = configure("json", file=closed)
    logger("x").info("one")
    logger("x").exception("two")
    assert kept.lost == 2
    with Path("/dev/full").open("w") as full:
        kept = configure("json", file=full)
        logger("x").info("three")
        assert kept.lost == 1
        with pytest.raises(OSError, match="No space left"):
            full.close()


def test_context_of_a_task_is_in_its_lines():
    file = io.StringIO()
    configure("json", file=file)
    with structlog.contextvars.bound_contextvars(connection=7):
        logger("rpc").info("hello")
    logger("rpc").info("bye")
    assert [line.get("connection") for line in lines(file)] == [7, None]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [(("xml",), "log style 'xml': there are console and json"), ((None, "loud"), "debug, info, warning, error")],
)
def test_other_styles_and_levels_are_refused(arguments, complaint):
    with pytest.raises(UsageError, match=complaint):
        configure(*arguments)
