"""Faults that lack page tables: which path serves them, and what is left when an area is gone."""

import pytest

from kactors import Scenario, run

OPTIONS = {"never": {}, "speculative": {"page_tables": "speculative", "pmd_marker": "collapsing"}}


def sparse(policy, cpus, **policy_options):
    scenario = Scenario(
        workload="sparse", machine="small", cpus=cpus, policy=policy, policy_options=policy_options, until_ns=300_000
    )
    return run(scenario)


def test_a_page_of_each_range_is_touched_and_no_other():
    result = run(
        Scenario(workload="sparse", options={"pmds": 3}, machine="small", cpus=1, policy="classic", until_ns=300_000)
    )
    assert result.throughput.records > 1
    # One fault for the page that is kept, then three a record; the last record was under way.
    assert 0 <= result.counters.faults - 1 - 3 * result.throughput.records <= 3


@pytest.mark.parametrize("cpus", [1, 2])
def test_spf_v9_serves_none_of_them_and_with_page_tables_of_its_own_nearly_all(cpus):
    never, speculative = (sparse("spf-v9", cpus, **options) for options in OPTIONS.values())
    assert never.counters.spf_vma_notsup > 0.9 * never.counters.faults
    assert never.counters.spf_vma_noanon == 0
    assert speculative.counters.spf_vma_notsup == 0
    assert speculative.counters.spf > 0.9 * speculative.counters.faults


@pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))
def test_no_property_breaks(options):
    assert not sparse("spf-v9", 4, **options).stop.finding
