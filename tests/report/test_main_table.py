"""The main job's table and its three sentences, from results that were made up: nothing in them is hard-coded."""

from kactors.report.main_table import conclusions, main_table
from protocols.result import Throughput
from tests.report.samples import NOBODY, TRANSIENT, WORST, sample, spread


def result(policy, cpus, per_s, *, wasted=0, peak=1, address=1, p50_ns=1000, max_ns=None):
    ipi = sample().ipi
    all_waits = spread(10, p50_ns).model_copy(update={"max_ns": max_ns or 4 * p50_ns})
    worst = WORST.model_copy(update={"wait_ns": max_ns or 4 * p50_ns, "last_acker": f"cpu{cpus - 1}"})
    pages = {"wasted": wasted, "peak_mm": peak, "peak_address": address, "allocated": 1000, "cpus_minus_1": cpus - 1}
    return sample(
        policy=policy,
        cpus=cpus,
        throughput=Throughput(unit="steps", records=1, measured_ns=1, per_s=per_s, faults_per_s=0.0),
        transient=TRANSIENT.model_copy(update=pages | {"wasted_bytes": wasted * 4096}),
        ipi=ipi.model_copy(update={"all": all_waits, "worst": worst}),
    )


RESULTS = [
    result("classic", 2, 100.0),
    result("spf-v9", 2, 150.0, wasted=10, peak=3),
    result("per-vma", 2, 180.0),
    result("classic", 16, 400.0, p50_ns=500),
    result("spf-v9", 16, 300.0, wasted=20, peak=9, address=7, p50_ns=9000, max_ns=77_000),
    result("per-vma", 16, 200.0),
]


def test_rows_are_grouped_by_size_and_the_gain_is_against_its_first():
    _header, *rows = (line.split() for line in main_table(RESULTS)[:7])
    assert [row[:3] for row in rows[:2]] == [["2", "classic", "100"], ["spf-v9", "150", "+50.0"]]
    assert [row[:3] for row in rows[3:5]] == [["16", "classic", "400"], ["spf-v9", "300", "-25.0"]]


def test_a_row_has_peaks_bounds_waste_and_waits():
    row = main_table(RESULTS)[5].split()
    assert row[7:17] == ["7/9", "31/15", "20", "10", "9.00", "us", "27.0", "us", "77.0", "us"]
    assert main_table(RESULTS)[5].endswith("cpu15: irqs off in pte_map_lock, delayed 35000 ns")


def test_who_wins_at_each_size():
    assert conclusions(RESULTS)[0] == (
        "Who wins: per-vma on 2 CPUs (180 steps/s, +80.0 % against classic, spf-v9 16.7 % behind);"
        " classic on 16 CPUs (400 steps/s, spf-v9 25.0 % behind)."
    )


def test_what_was_over_allocated():
    assert conclusions(RESULTS)[1] == (
        "Over-allocated: at most 7 for one address and 9 in the mm at one moment (spf-v9 on 16 CPUs, where CPUs - 1 is"
        " 15); thrown away: spf-v9 on 2 CPUs 10 of 1,000 pages (1.0 %, 40.0 KiB, 61.5 us of zeroing),"
        " spf-v9 on 16 CPUs 20 of 1,000 pages (2.0 %, 80.0 KiB, 61.5 us of zeroing)."
    )
    assert conclusions([RESULTS[0]])[1].endswith("; thrown away: nothing.")


def test_how_long_ipi_senders_waited_and_for_whom():
    assert conclusions(RESULTS)[2] == (
        "IPI senders waited 500 ns to 9.00 us at the median, at worst 77.0 us (spf-v9 on 16 CPUs): cpu0 waited 77.0 us"
        " (flush to 1 CPU, sent at 7.236771 ms); cpu15 was last: irqs off in pte_map_lock, delayed 35000 ns."
    )


def test_nobody_waited():
    calm = RESULTS[0].model_copy(update={"ipi": RESULTS[0].ipi.model_copy(update={"all": NOBODY, "worst": None})})
    assert conclusions([calm])[2] == "IPI senders: none waited."
    assert main_table([calm])[1].endswith("  -")


def test_where_nobody_did_anything_nobody_wins():
    idle = Throughput(unit="steps", records=0, measured_ns=1, per_s=0.0, faults_per_s=0.0)
    rows = [result(policy, 2, 0.0).model_copy(update={"throughput": idle}) for policy in ("classic", "spf-v9")]
    (winners, *_rest) = conclusions([*rows, *RESULTS[3:]])
    assert winners.startswith("Who wins: nobody on 2 CPUs (no steps in ")
    assert "classic on 16 CPUs (400 steps/s" in winners
