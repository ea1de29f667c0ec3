"""The token file: private, well-formed, and silent about its tokens."""

import os

import pytest
from hypothesis import given, strategies as st

from kactors.engine.errors import UsageError
from kactors.service.tokens import TokenFile

ANNA, BERT, ANNA_TOO = "a" * 16, "bert-has-a-long-token", "annas-next-token-is-longer"
TEXT = f"""
# who may call
anna {ANNA}
  bert\t{BERT}

anna {ANNA_TOO}
"""


@pytest.fixture
def write(tmp_path):
    def write(content, mode=0o600):
        path = tmp_path / "tokens"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(mode)
        return path

    return write


def test_a_token_tells_who_calls(write):
    tokens = TokenFile(write(TEXT))
    assert [tokens.principal(token) for token in (ANNA, BERT, ANNA_TOO)] == ["anna", "bert", "anna"]
    assert tokens.names == ("anna", "bert")


@given(st.text(st.characters()))
def test_other_tokens_are_nobodys(tmp_path_factory, token):
    path = tmp_path_factory.getbasetemp() / "tokens-of-all-examples"
    path.touch(mode=0o600)
    path.write_text(TEXT)
    assert TokenFile(path).principal(token) is None


@pytest.mark.parametrize("token", ["", "anna", ANNA[:-1], ANNA + "a", f"anna {ANNA}", "\ud800" * 16])
def test_nearly_a_token_is_nobodys(write, token):
    assert TokenFile(write(TEXT)).principal(token) is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610, 0o601, 0o777])
def test_a_file_that_others_get_at_is_refused(write, mode):
    with pytest.raises(UsageError, match=f"mode {mode:04o} lets others at it; chmod 0600"):
        TokenFile(write(TEXT, mode))


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_private_file_is_taken(write, mode):
    assert TokenFile(write(TEXT, mode)).names


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_refused(write):
    path = write(TEXT)
    os.chown(path, 12345, -1)
    with pytest.raises(UsageError, match="it belongs to user 12345, not to us, user 0"):
        TokenFile(path)


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot be read: No such file or directory"):
        TokenFile(tmp_path / "missing")
    with pytest.raises(UsageError, match="no regular file"):
        TokenFile(tmp_path)
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(UsageError, match="no regular file"):
        TokenFile(tmp_path / "fifo")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "it holds no token"),
        ("# nothing\n", "it holds no token"),
        (f"\nanna\nbert {BERT}", "line 2: it has 1 words; a line is: NAME TOKEN"),
        (f"anna {ANNA} {BERT}", "line 1: it has 3 words"),
        (f"anna {ANNA[:-1]}", "the token has 15 characters; 16 to 1024 are allowed"),
        ("anna " + "a" * 1025, "the token has 1025 characters"),
        ("a" * 129 + " " + ANNA, "the name has 129 characters, at most 128"),
        (f"anna {ANNA}\nbert {ANNA}", "line 2: the token stands on another line already"),
        (b"anna \xff" + ANNA.encode(), "no UTF-8 text .byte 5."),
    ],
)
def test_a_wrong_line_is_refused_without_showing_it(write, content, complaint):
    with pytest.raises(UsageError, match=complaint) as refused:
        TokenFile(write(content))
    assert len(str(refused.value).splitlines()) == 1
    assert ANNA[:-1] not in str(refused.value)
    assert BERT not in str(refused.value)


def test_tokens_are_not_kept(write):
    tokens = TokenFile(write(TEXT))
    assert BERT not in repr(tokens) + repr(vars(tokens))
