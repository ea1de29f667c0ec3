"""The service's numbers: counted as plain integers, read back by Prometheus' own parser."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import given, strategies as st
from prometheus_client.parser import text_string_to_metric_families

from kactors.service.metrics import Gauges, Histogram, Metrics, open_files, resident_bytes, tasks
from protocols.service.methods import METHODS
from protocols.service.searches import SearchState
from protocols.service.sessions import State


def samples(metrics):
    """Map each sample's name and labels to its value."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


def test_requests_are_counted_by_method_and_code():
    metrics = Metrics()
    for code in (0, 0, 202):
        metrics.request("sim.step", code, 0.002)
    metrics.request("hello", 0, 50.0)
    assert (metrics.requests, metrics.errors) == (4, 1)
    found = samples(metrics)
    assert found["kactors_requests_total", ("code", "0"), ("method", "sim.step")] == 2
    assert found["kactors_requests_total", ("code", "202"), ("method", "sim.step")] == 1
    assert found["kactors_request_seconds_count", ("method", "sim.step")] == 3
    assert found["kactors_request_seconds_sum", ("method", "sim.step")] == pytest.approx(0.006)
    assert found["kactors_request_seconds_bucket", ("le", "0.001"), ("method", "sim.step")] == 0
    assert found["kactors_request_seconds_bucket", ("le", "0.003"), ("method", "sim.step")] == 3
    assert found["kactors_request_seconds_bucket", ("le", "30.0"), ("method", "hello")] == 0
    assert found["kactors_request_seconds_bucket", ("le", "+Inf"), ("method", "hello")] == 1


def test_clients_cannot_make_series():
    metrics = Metrics()
    for number in range(1000):
        metrics.request(f"method-{number}", 200, 0.001)
    found = samples(metrics)
    assert found["kactors_requests_total", ("code", "200"), ("method", "other")] == 1000
    assert sum(name == "kactors_requests_total" for name, *_ in found) == 1


def test_running_totals_are_shown():
    metrics = Metrics("1.2.3", "abc")
    metrics.events_sent += 3
    metrics.events_dropped += 4
    metrics.events_simulated += 10**12
    metrics.schedules_searched += 5
    metrics.steps_searched += 60
    metrics.worker_restarts += 1
    metrics.store_commit(0.02)
    metrics.protocol_error(100)
    found = samples(metrics)
    assert found["kactors_events_sent_total",] == 3
    assert found["kactors_events_dropped_total",] == 4
    assert found["kactors_simulated_events_total",] == 10**12
    assert found["kactors_searched_schedules_total",] == 5
    assert found["kactors_searched_events_total",] == 60
    assert found["kactors_worker_restarts_total",] == 1
    assert found["kactors_store_commit_seconds_count",] == 1
    assert found["kactors_protocol_errors_total", ("code", "100")] == 1
    assert found["kactors_build_info", ("fingerprint", "abc"), ("version", "1.2.3")] == 1


def test_gauges_are_looked_at_when_asked():
    metrics = Metrics()
    assert samples(metrics)["kactors_connections",] == 0
    metrics.gauges = lambda: Gauges(connections=2, subscriptions=3, sessions={State.RUNNING: 4})
    found = samples(metrics)
    assert (found["kactors_connections",], found["kactors_subscriptions",]) == (2, 3)
    assert {state: found["kactors_sessions", ("state", state)] for state in State} == {
        State.PAUSED: 0,
        State.RUNNING: 4,
        State.ENDED: 0,
        State.FAILED: 0,
    }


def test_searches_are_shown_by_state_with_what_those_that_run_hold():
    metrics = Metrics()
    metrics.gauges = lambda: Gauges(
        searches={SearchState.RUNNING: 2, SearchState.FAILED: 1}, searched_states=700, searched_frontier=30
    )
    found = samples(metrics)
    by_state = {state: found["kactors_searches", ("state", state)] for state in SearchState}
    assert by_state == {SearchState.RUNNING: 2, SearchState.ENDED: 0, SearchState.FAILED: 1}
    assert (found["kactors_search_states",], found["kactors_search_frontier",]) == (700, 30)


def test_every_metric_is_in_the_documentation():
    page = (Path(__file__).parents[2] / "docs" / "service.md").read_text()
    metrics = Metrics()
    metrics.protocol_error(1)
    shown = {family.name for family in text_string_to_metric_families(metrics.text().decode())}
    assert shown - {name.removesuffix("_total") for name in re.findall(r"`(kactors_[a-z_]+)`", page)} == set()


async def test_the_process_is_shown():
    found = samples(Metrics())
    assert found["kactors_resident_bytes",] > 1 << 20
    assert found["kactors_open_files",] >= 3
    assert found["kactors_trio_tasks",] == tasks() >= 1


def test_outside_trio_there_are_no_tasks():
    assert ("kactors_trio_tasks",) not in samples(Metrics())


def test_open_files_are_counted(tmp_path):
    before = open_files()
    with (tmp_path / "a").open("w"), (tmp_path / "b").open("w"):
        assert open_files() == before + 2


def test_memory_of_a_process():
    assert resident_bytes(os.getpid()) > 1 << 20
    assert resident_bytes(2**22 + 1) == 0  # more than the kernel's largest pid


def test_two_services_in_one_process_count_apart():
    one, other = Metrics(), Metrics()
    one.request("hello", 0, 0.1)
    assert (one.requests, other.requests) == (1, 0)
    assert b"hello" not in other.text()


def test_every_method_is_counted_by_its_name():
    metrics = Metrics()
    for method in METHODS:
        metrics.request(method, 0, 0.1)
    assert {dict(labels)["method"] for name, *labels in samples(metrics) if name == "kactors_requests_total"} == set(
        METHODS
    )


@given(st.lists(st.floats(0, 100)))
def test_a_bucket_holds_what_took_at_most_its_bound(seconds):
    histogram = Histogram((0.1, 1.0, 10.0))
    for each in seconds:
        histogram.observe(each)
    assert [count for _, count in histogram.buckets()] == [
        sum(each <= bound for each in seconds) for bound in (0.1, 1.0, 10.0, float("inf"))
    ]
    assert histogram.count == len(seconds)
    assert histogram.sum_s == pytest.approx(sum(seconds))
