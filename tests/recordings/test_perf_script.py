"""The line parser: both layouts, any comm, any number; and what is no event."""

import pytest
from hypothesis import example, given, strategies as st

from kactors.recordings import EventStream, LineKind, PerfEvent, ReadReport, RecordingError, parse_line

REAL = (
    " C2 CompilerThre 16592/16606 [001]  1099.074963704:    irq_vectors:call_function_single_entry: vector=251",
    "          ebizzy 16786/16788 [000]  1172.648501937:                  syscalls:sys_exit_munmap: 0x0",
)


@pytest.mark.parametrize(
    ("text", "event"),
    [
        (
            REAL[0],
            PerfEvent(
                7,
                "C2 CompilerThre",
                16592,
                16606,
                1,
                1099074963704,
                "irq_vectors:call_function_single_entry",
                "vector=251",
            ),
        ),
        (REAL[1], PerfEvent(7, "ebizzy", 16786, 16788, 0, 1172648501937, "syscalls:sys_exit_munmap", "0x0")),
        (
            "kworker/0:1-mm_ 13321 [000]   963.566613: csd:csd_queue_cpu: cpu=1 func=f csd=0x1",
            PerfEvent(7, "kworker/0:1-mm_", None, 13321, 0, 963566613000, "csd:csd_queue_cpu", "cpu=1 func=f csd=0x1"),
        ),
        (
            "a 1 [012]  5.000001:     250000 cycles:ppp:  ffffffff81 f+0x1 ([kernel])",
            PerfEvent(7, "a", None, 1, 12, 5000001000, "cycles:ppp", "ffffffff81 f+0x1 ([kernel])"),
        ),
        ("  :-1 16592/-1    [001] 1.000000001: x:y:", PerfEvent(7, ":-1", 16592, -1, 1, 1000000001, "x:y", "")),
        ("swapper     0/0     [000]  9.000000000: a:b: c", PerfEvent(7, "swapper", 0, 0, 0, 9000000000, "a:b", "c")),
        ("       5/5     [000]  9.000000000: a:b: c", PerfEvent(7, "", 5, 5, 0, 9000000000, "a:b", "c")),
        ("1 2/3 4/5 [000]  9.000000000: a:b: c", PerfEvent(7, "1 2/3", 4, 5, 0, 9000000000, "a:b", "c")),
        ("1 [0] 1.1: e: 5 [000]  9.000000: a:b: c", PerfEvent(7, "1 [0] 1.1: e:", None, 5, 0, 9000000000, "a:b", "c")),
        (
            "sh 4/5 [000] 9.000000000: x:y: comm=b 6/7 [001] 8.000000000: p:q: z",
            PerfEvent(7, "sh", 4, 5, 0, 9000000000, "x:y", "comm=b 6/7 [001] 8.000000000: p:q: z"),
        ),
    ],
)
def test_a_line_is_an_event(text, event):
    assert parse_line(text, 7) == event


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", LineKind.BLANK),
        (" \t ", LineKind.BLANK),
        ("# captured on: some day", LineKind.COMMENT),
        ("\t    ffffffff81c0 do_user_addr_fault+0x5a ([kernel.kallsyms])", LineKind.CALLCHAIN),
        ("\t    7f9f2ad52000 [unknown] (/usr/bin/ebizzy)", LineKind.CALLCHAIN),
        ("\t               0 [unknown] ([unknown])", LineKind.CALLCHAIN),
        ("\t                 helper (inlined)", LineKind.CALLCHAIN),
        ("ffffffff81c0 not indented", LineKind.UNREADABLE),
        ("ebizzy 1/1 [0] 1.000000000: a:b: c", LineKind.UNREADABLE),
        ("ebizzy 1/1 [000] 1.0000: a:b: c", LineKind.UNREADABLE),
        ("ebizzy 1/1 1.000000000: a:b: c", LineKind.UNREADABLE),
        ("ebizzy 1/1 [000] 1.000000000: no event", LineKind.UNREADABLE),
        ("ebizzy 1/1 [000] 1.0000000", LineKind.UNREADABLE),
        ("9" * 5000 + "/1 [000] 1.000000000: a:b: c", LineKind.UNREADABLE),
    ],
)
def test_a_line_is_no_event(text, kind):
    assert parse_line(text, 1) is kind


# What prctl(PR_SET_NAME) takes, as perf prints it: at most 15 bytes, no line ends; the padding hides spaces at the rim.
COMMS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r\0"), max_size=15).map(
    lambda comm: comm.strip(" \t")
)
LIKELY_COMMS = st.text("12ab/:[]. ", max_size=15).map(lambda comm: comm.strip(" \t"))
IDS = st.integers(-1, 2**22)
EVENT_NAMES = st.from_regex(r"[a-z_][a-z_0-9]{0,20}:[a-z_0-9]{1,30}", fullmatch=True)
ARGS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r\0"), max_size=60).map(str.strip)
CPUS = st.integers(0, 4095)


@given(COMMS | LIKELY_COMMS, IDS, IDS, CPUS, st.integers(0, 10**20), EVENT_NAMES, ARGS)
def test_the_layout_with_pids_round_trips(comm, pid, tid, cpu, at_ns, event, args):
    seconds, ns = divmod(at_ns, 10**9)
    text = f"{comm:>16} {pid:>5}/{tid:<5} [{cpu:03}] {seconds:>5}.{ns:09}: {event:>40}: {args}"
    assert parse_line(text, 3) == PerfEvent(3, comm, pid, tid, cpu, at_ns, event, args)


@given(COMMS | LIKELY_COMMS, IDS, CPUS, st.integers(0, 10**15), st.none() | st.integers(0, 10**9), EVENT_NAMES, ARGS)
def test_the_default_layout_round_trips(comm, tid, cpu, at_us, period, event, args):
    seconds, us = divmod(at_us, 10**6)
    count = "" if period is None else f"{period:>10} "
    text = f"{comm:>16} {tid:>5} [{cpu:03}] {seconds:>5}.{us:06}: {count}{event:>40}: {args}"
    assert parse_line(text, 3) == PerfEvent(3, comm, None, tid, cpu, at_us * 1000, event, args)


PARTS = st.sampled_from(
    ["comm", " ", "\t", "1/2", "1", "[000]", "1.000000000:", "1.000000:", "a:b:", "\n", "\x85", "٣"]
)


@given(st.text() | st.lists(PARTS).map(" ".join))
@example("\n1 2 [000] 1.000000: a:")
def test_any_text_is_classified(text):
    assert isinstance(parse_line(text, 1), PerfEvent | LineKind)


def test_a_long_line_takes_no_quadratic_time():
    assert parse_line("a" + " " * 500_000 + "1/2 ", 1) is LineKind.UNREADABLE


def read(tmp_path, *lines):
    path = tmp_path / "small.txt"
    path.write_text("\n".join(lines))
    stream = EventStream(path)
    return list(stream), stream.report


def test_what_is_no_event_is_counted_and_harmless(tmp_path):
    chain = ["\tffffffff81c0 f+0x1 ([kernel.kallsyms])", ""]
    events, report = read(tmp_path, "# comment", "", *[REAL[0], *chain] * 3, "   ")
    assert [event.line for event in events] == [3, 6, 9]
    assert report == ReadReport(lines=7, events=3, skipped=0, first_skipped_line=None)


def test_windows_line_ends_are_line_ends(tmp_path):
    events, report = read(tmp_path, REAL[1] + "\r", "\r", "# comment\r")
    assert events[0].args == "0x0"
    assert report == ReadReport(2, 1, 0, None)


def test_one_percent_of_unreadable_lines_is_used(tmp_path):
    events, report = read(tmp_path, *[REAL[0]] * 50, "what?", *[REAL[1]] * 49)
    assert len(events) == 99
    assert report == ReadReport(lines=100, events=99, skipped=1, first_skipped_line=51)


def test_more_than_one_percent_is_an_error_that_shows_the_first(tmp_path):
    bad = "what " + "x" * 100
    with pytest.raises(RecordingError, match=r"small\.txt, line 51: 2 of 100 lines are unreadable") as raised:
        read(tmp_path, *[REAL[0]] * 50, bad, *[REAL[1]] * 48, "and?")
    assert f"'{bad[:80]}'..." in str(raised.value)
    assert bad[:81] not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_blank_lines_do_not_thin_out_unreadable_ones(tmp_path):
    with pytest.raises(RecordingError, match="1 of 3 lines"):
        read(tmp_path, REAL[0], REAL[1], *[""] * 1000, "what?")


def test_control_characters_are_shown_escaped(tmp_path):
    with pytest.raises(RecordingError) as raised:
        read(tmp_path, "red \x1b[31m alert \x07")
    assert r"'red \x1b[31m alert \x07'" in str(raised.value)


@pytest.mark.parametrize(
    ("lines", "wrong"),
    [([], "is empty"), (["", "  "], "is empty"), (["# a comment"], "holds no event"), (["what?"], "1 of 1 lines")],
)
def test_no_usable_line_is_an_error(tmp_path, lines, wrong):
    with pytest.raises(RecordingError, match=wrong):
        read(tmp_path, *lines)


def test_reading_a_long_file_of_something_else_stops_early(tmp_path):
    path = tmp_path / "novel.txt"
    path.write_text("It was a dark and stormy night.\n" * 200_000)
    stream = EventStream(path)
    with pytest.raises(RecordingError, match=r"line 1: .*stormy"):
        list(stream)
    assert stream.report.lines < 100_000


def test_a_stream_is_lazy_and_can_be_read_again(tmp_path):
    path = tmp_path / "small.txt"
    path.write_text(REAL[0] + "\nwhat?\n")
    stream = EventStream(path)
    assert next(iter(stream)).tid == 16606
    with pytest.raises(RecordingError):
        list(stream)


def test_the_report_takes_events_without_their_fields_for_unreadable():
    assert ReadReport(10, 9, 1, 5).with_skipped([3, 8]) == ReadReport(10, 7, 3, 3)
    assert ReadReport(10, 10, 0, None).with_skipped([8]) == ReadReport(10, 9, 1, 8)
    assert ReadReport(10, 10, 0, None).with_skipped([]) == ReadReport(10, 10, 0, None)
