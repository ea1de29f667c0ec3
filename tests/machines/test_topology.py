"""Which CPUs share what, how far a line travels between two of them, and where threads are placed."""

import pytest
from hypothesis import given, strategies as st

from kactors import Scenario, run
from kactors.engine.errors import UsageError
from kactors.machines import load_machine, machine_names
from kactors.machines.generic import CPUS_MAX

SERVERS = {
    # name: sockets, caches a socket, cores a cache, CPUs a core
    "skylake-2s-112": (2, 1, 28, 2),
    "skylake-4s-192": (4, 1, 24, 2),
    "skylake-2s-72": (2, 1, 18, 2),
    "rome-2s-256": (2, 16, 4, 2),
    "ivb-ep-40": (2, 1, 10, 2),
    "ivb-ex-120": (4, 1, 15, 2),
}


@pytest.mark.parametrize("name", SERVERS)
def test_a_servers_topology_is_the_one_in_its_name(name):
    machine = load_machine(name)
    shape = (machine.sockets, machine.caches_per_socket, machine.cores_per_cache, machine.cpus_per_core)
    assert shape == SERVERS[name]
    sockets, caches, cores, siblings = shape
    assert machine.cpus == sockets * caches * cores * siblings
    assert name.endswith(f"-{machine.cpus}")
    assert f"-{sockets}s-" in name or name.startswith("ivb")


@pytest.mark.parametrize(
    ("name", "other", "distance"),
    [
        ("skylake-2s-112", 1, "core"),
        ("skylake-2s-112", 2, "cache"),
        ("skylake-2s-112", 55, "cache"),
        ("skylake-2s-112", 56, "remote"),
        ("skylake-4s-192", 47, "cache"),
        ("skylake-4s-192", 48, "remote"),
        ("skylake-4s-192", 191, "remote"),
        ("rome-2s-256", 1, "core"),
        ("rome-2s-256", 7, "cache"),
        ("rome-2s-256", 8, "socket"),
        ("rome-2s-256", 127, "socket"),
        ("rome-2s-256", 128, "remote"),
        ("ivb-ep-40", 19, "cache"),
        ("ivb-ep-40", 20, "remote"),
        ("ivb-ex-120", 29, "cache"),
        ("ivb-ex-120", 30, "remote"),
    ],
)
def test_a_line_of_cpu_0_is_so_far_from_another_cpu(name, other, distance):
    machine = load_machine(name)
    assert machine.transfer_ns(0, other) == machine.transfer_ns(other, 0) == getattr(machine, f"line_{distance}_ns")


@pytest.mark.parametrize("name", SERVERS)
def test_as_many_threads_as_cores_have_a_core_each(name):
    machine = load_machine(name)
    cores = machine.cpus // machine.cpus_per_core
    for placement in (None, "cores", "sockets"):
        homes = [machine.cpu_of(thread, placement) for thread in range(cores)]
        assert len({cpu // machine.cpus_per_core for cpu in homes}) == cores


def test_sixty_threads_on_the_ex_take_sixty_cores_socket_after_socket():
    machine = load_machine("ivb-ex-120")
    homes = [machine.cpu_of(thread) for thread in range(121)]
    assert homes[:60] == list(range(0, 120, 2))
    assert homes[60:] == [*range(1, 120, 2), 0]
    assert [machine.socket_of(cpu) for cpu in homes[:16]] == [0] * 15 + [1]


def test_sockets_in_turn_and_cpus_in_turn():
    machine = load_machine("ivb-ex-120")
    assert [machine.cpu_of(thread, "sockets") for thread in range(6)] == [0, 30, 60, 90, 2, 32]
    assert [machine.cpu_of(thread, "adjacent") for thread in range(3)] == [0, 1, 2]


def test_a_workloads_threads_live_where_the_profile_places_them(tmp_path):
    own = tmp_path / "mine.toml"
    own.write_text('inherits = "x86-80"\nplacement = { value = "sockets", source = "own" }', encoding="utf-8")
    scenario = Scenario(workload="ebizzy", threads=2, until_ns=2_500_000, machine=str(own))
    busy = [cpu for cpu, time in enumerate(run(scenario).cpu_time) if time.fault_ns]
    assert busy == [0, 40]


@pytest.mark.parametrize("name", [*machine_names(), "generic:13"])
@pytest.mark.parametrize("placement", ["adjacent", "cores", "sockets"])
def test_a_placement_uses_every_cpu_once_before_any_twice(name, placement):
    machine = load_machine(name)
    homes = [machine.cpu_of(thread, placement) for thread in range(2 * machine.cpus)]
    assert sorted(homes[: machine.cpus]) == list(range(machine.cpus))
    assert homes[machine.cpus :] == homes[: machine.cpus]


@given(cpus=st.integers(1, CPUS_MAX))
def test_a_generic_server_of_any_size_is_whole(cpus):
    machine = load_machine(f"generic:{cpus}")
    assert (machine.name, machine.cpus) == (f"generic:{cpus}", cpus)
    assert machine.sockets == (1 if cpus <= 16 else 2)
    assert machine.cores_per_cache <= 8
    sizes = [0] * machine.sockets
    for cpu in range(cpus):
        sizes[machine.socket_of(cpu)] += 1
    # The last socket, cache and core may not be full.
    cache = machine.cores_per_cache * machine.cpus_per_core
    assert max(sizes) - min(sizes) < machine.caches_per_socket * cache
    assert machine.memory_mib >= 512 * cpus


@pytest.mark.parametrize("name", ["generic:", "generic:0", "generic:4097", "generic:-1", "generic:x", "generic:1e3"])
def test_a_size_that_is_none_is_told_in_one_line(name):
    with pytest.raises(UsageError, match=r"N in generic:N is a number of CPUs from 1 to 4096, like generic:64$"):
        load_machine(name)


def test_a_users_file_can_inherit_a_generic_server(tmp_path):
    own = tmp_path / "mine.toml"
    own.write_text('inherits = "generic:64"\nwake_ns = { value = 9, assumed = "x" }', encoding="utf-8")
    machine = load_machine(str(own))
    assert (machine.cpus, machine.sockets, machine.wake_ns) == (64, 2, 9)


@pytest.mark.parametrize(
    ("name", "workload", "published_ns"),
    [
        ("skylake-2s-112", "page_fault1", 1740),
        ("skylake-4s-192", "page_fault1", 1740),
        ("rome-2s-256", "page_fault1", 750),
        ("ivb-ep-40", "multi-fault", 810),
    ],
)
def test_a_fault_on_a_lone_cpu_takes_what_was_published_loop_included(name, workload, published_ns):
    # Of multi-fault several rounds: those after the first take their pages from the CPU's own list.
    size = {"page_fault1": {"memsize": 4 << 20, "phase": "zero", "rounds": 1}, "multi-fault": {"rounds": 8}}[workload]
    options = {"t": 1, **size}
    result = run(Scenario(workload=workload, options=options, policy="classic", machine=name, threads=1))
    assert result.counters.faults in (1024, 4096)
    assert result.throughput.measured_ns / result.counters.faults == pytest.approx(published_ns, rel=0.02)
