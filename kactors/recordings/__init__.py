"""Recordings of a real kernel: the text of `perf script` as what each thread did, and as measured facts.

    recording = read_recording("recordings/ebizzy-mTRp-t4.perf.txt.xz")
    for thread in recording.threads:
        for step in thread.steps: ...

Knows nothing of the simulation and imports the standard library only. From a file to its steps: text_blocks (bytes to
lines), perf_script (lines to events), processes (whose they are), user_time and threads (events to steps), areas (what
was mapped before), facts and times (what was measured), recording (all of it).
"""

from kactors.recordings.areas import RecordedArea
from kactors.recordings.errors import RecordingError
from kactors.recordings.facts import CallCounts, MeasuredFacts
from kactors.recordings.percentiles import Distribution
from kactors.recordings.perf_script import EventStream, LineKind, PerfEvent, ReadReport, parse_line
from kactors.recordings.processes import RecordedProcess
from kactors.recordings.recording import Recording, read_recording
from kactors.recordings.steps import Brk, Fault, Madvise, Mmap, Mprotect, Munmap, Step
from kactors.recordings.threads import Moment, RecordedThread
from kactors.recordings.times import Measured, Tally, Timing

__all__ = [
    "Brk",
    "CallCounts",
    "Distribution",
    "EventStream",
    "Fault",
    "LineKind",
    "Madvise",
    "Measured",
    "MeasuredFacts",
    "Mmap",
    "Moment",
    "Mprotect",
    "Munmap",
    "PerfEvent",
    "ReadReport",
    "RecordedArea",
    "RecordedProcess",
    "RecordedThread",
    "Recording",
    "RecordingError",
    "Step",
    "Tally",
    "Timing",
    "parse_line",
    "read_recording",
]
