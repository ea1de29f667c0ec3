"""From files to lines: three encodings, and every damage as one clear error."""

import bz2
import gzip
import lzma
import os
import pickle

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from kactors.recordings import RecordingError, read_recording
from kactors.recordings.text_blocks import BLOCK_BYTES, LINE_BYTES_MAX, text_blocks

TEXT = "".join(
    f"             app    10/10    [000]     1.{at:09}: exceptions:page_fault_user: "
    f"address={0x7F0000000000 + at * 64:#x} ip=0x400 error_code=0x6\n"
    for at in range(200)
).encode()
ENCODED = {"plain": TEXT, "gz": gzip.compress(TEXT, mtime=0), "xz": lzma.compress(TEXT)}


def lines(path):
    return [line for block in text_blocks(path) for line in block]


def write(tmp_path, content, name="small.txt"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("encoding", ENCODED)
@pytest.mark.parametrize("name", ["a.txt", "a.xz", "a.gz"])
def test_the_bytes_tell_the_encoding_whatever_the_name(tmp_path, encoding, name):
    path = write(tmp_path, ENCODED[encoding], name)
    assert lines(path) == TEXT.decode().splitlines()
    assert read_recording(path).facts.faults == read_recording(os.fspath(path)).facts.faults == 200


@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n"])
def test_lines_do_not_depend_on_where_blocks_end(tmp_path, end):
    content = (
        b"".join(b"%d " % number + b"\xc3\xa4" * 1000 + b"\n" for number in range(BLOCK_BYTES // 1500)) + b"last" + end
    )
    assert lines(write(tmp_path, content)) == content.decode().removesuffix("\n").split("\n")


def test_no_bytes_are_no_lines(tmp_path):
    assert lines(write(tmp_path, b"")) == []


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (b"good\nb\0d\n", "line 2: is binary data"),
        (b"good\ngood\nb\xe4d\n", r"line 3: is not UTF-8 text \(byte 0xe4\)"),
        (b"PERFILE2\x68\0\0", "is a perf.data file.*perf script"),
        (bz2.compress(TEXT), "is bzip2-compressed"),
        (b"\x28\xb5\x2f\xfd\x04", "is zstd-compressed"),
        (ENCODED["xz"][:-20], "end too early"),
        (ENCODED["gz"][:-4], "end too early"),
        (ENCODED["xz"][:6], "end too early"),
        (ENCODED["gz"][:2], "end too early"),
        (ENCODED["xz"][:6] + b"garbage" * 10, "are damaged"),
        (ENCODED["gz"][:2] + b"garbage" * 10, "are damaged"),
        (ENCODED["gz"][:40] + b"garbage" * 50, "are damaged"),
        (b"x" * (LINE_BYTES_MAX + 2), "line 1: a line of more than"),
        (lzma.compress(b"ok\n" + b"x" * 20 * LINE_BYTES_MAX), "line 2: a line of more than"),
    ],
)
def test_a_damaged_file_is_one_clear_error(tmp_path, content, wrong):
    with pytest.raises(RecordingError, match=wrong) as raised:
        lines(write(tmp_path, content))
    assert "small.txt" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_missing_file_directory_and_impossible_name(tmp_path):
    with pytest.raises(RecordingError, match=r"none\.txt: no such file"):
        lines(tmp_path / "none.txt")
    with pytest.raises(RecordingError, match="is a directory"):
        lines(tmp_path)
    with pytest.raises(RecordingError, match="cannot be read"):
        lines(write(tmp_path, b"x") / "below-a-file")
    with pytest.raises(RecordingError, match=r"a\\x00b: cannot be read"):
        lines("a\0b")
    with pytest.raises(RecordingError, match="cannot be read"):
        lines("a" * 5000)


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(RecordingError, match=r"small\.txt: cannot be read \(Permission denied\)"):
        lines(tmp_path / "small.txt")


def test_an_error_survives_the_way_to_another_process():
    error = RecordingError.at("a.txt", "is empty", "write something", line=3)
    assert str(pickle.loads(pickle.dumps(error))) == str(error) == "a.txt, line 3: is empty; write something"


def recording_or_error(folder, content):
    path = write(folder, content)
    try:
        message = f"{read_recording(path).facts.faults} faults"
    except RecordingError as error:
        message = str(error)
    assert "\n" not in message


any_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@any_folder
@given(st.sampled_from(list(ENCODED)), st.data())
def test_a_truncated_file_is_an_error_or_a_shorter_recording(tmp_path, encoding, data):
    content = ENCODED[encoding]
    recording_or_error(tmp_path, content[: data.draw(st.integers(0, len(content)))])


@any_folder
@given(st.sampled_from(list(ENCODED)), st.data(), st.binary(min_size=1, max_size=8))
def test_an_overwritten_file_is_an_error_or_a_recording(tmp_path, encoding, data, damage):
    content = ENCODED[encoding]
    at = data.draw(st.integers(0, len(content)))
    recording_or_error(tmp_path, content[:at] + damage + content[at + len(damage) :])


@any_folder
@given(st.sampled_from([b"", b"\x1f\x8b", b"\x1f\x8b\x08\0", b"\xfd7zXZ\x00", TEXT[:500]]), st.binary(max_size=200))
def test_any_bytes_are_an_error_or_a_recording(tmp_path, start, rest):
    recording_or_error(tmp_path, start + rest)
