"""A session brought back from its log: the same result, whatever was done to it."""

import pytest
from hypothesis import given, settings, strategies as st

from kactors.live import LiveMachine, Pause, Quota, Replay, ReplayDiffers
from protocols.service.commands import Position, SetBound, SetPolicy
from tests.accounting import assert_time_adds_up
from tests.live.scenes import ALL, COLLAPSE, EBIZZY, SCENARIOS, US, area, every_command, inject, ran

PAUSES = st.lists(
    st.tuples(st.integers(0, 25), st.none()) | st.tuples(st.none(), st.integers(0, 4 * US)), min_size=14, max_size=14
)


def brought_back(scenario, log, target, slice_events=ALL, **options):
    replay = Replay(scenario, log, target, **options)
    while not replay.advance(slice_events):
        pass
    return replay.machine


def driven(scenario, commands, pauses, start=30):
    """Give commands with pauses between them; return the machine and its log."""
    machine, log = LiveMachine(scenario), []
    machine.advance(events_max=start)
    for command, (events, ns) in zip(commands(area(machine)), pauses, strict=True):
        until_ns = None if ns is None else machine.stats().now_ns + ns
        if machine.advance(events_max=ALL if events is None else events, until_ns=until_ns) is Pause.ENDED:
            break
        log.append(machine.apply(command))
    return machine, log


@pytest.mark.parametrize("name", ["ebizzy", "collapse", "collapse-vs-fault", "munmap-vs-fault"])
@settings(max_examples=6, deadline=None)
@given(pauses=PAUSES, order=st.permutations(range(14)), slice_events=st.integers(1, 500))
def test_a_log_gives_the_same_result(name, pauses, order, slice_events):
    scenario = SCENARIOS[name]
    machine, log = driven(scenario, lambda address: [every_command(address)[n] for n in order], pauses)
    here = machine.position()
    back = brought_back(scenario, log, here, slice_events)
    assert back.position() == here
    assert back.stats() == machine.stats()
    assert back.state("engine") == machine.state("engine")
    assert back.stop == machine.stop
    assert ran(back) == ran(machine)
    assert_time_adds_up(machine._machine.system)
    assert machine.stop.kind != "quiescent" or machine._machine.system.account_pages().conserved
    assert brought_back(scenario, log, machine.position(), slice_events).stop == machine.stop


def test_several_commands_at_one_position_come_in_their_order():
    machine, log = driven(EBIZZY, every_command, [(0, None)] * 14, start=0)
    assert {entry.at.events for entry in log} == {0}
    assert ran(brought_back(EBIZZY, log, log[-1].at)) == ran(machine)


def test_a_command_after_a_rest_at_an_instant_is_at_that_instant():
    machine = LiveMachine(EBIZZY)
    machine.advance(events_max=ALL, until_ns=100_001)
    entry = machine.apply(inject("starved_cpu", cpu=1, duration_ns=US))
    assert entry.at.now_ns == 100_001
    assert ran(brought_back(EBIZZY, [entry], entry.at)) == ran(machine)


def test_it_can_stop_in_the_middle_and_be_brought_back_from_there():
    machine, log = driven(EBIZZY, every_command, [(40, None)] * 14)
    middle = brought_back(EBIZZY, log[:7], log[7].at)
    assert middle.position() == log[7].at
    for entry in log[7:]:
        middle.advance(events_max=ALL, until_events=entry.at.events)
        assert middle.apply(entry.command) == entry
    assert ran(middle) == ran(machine)


def test_slices_are_kept_to_the_delivery():
    machine = LiveMachine(EBIZZY)
    machine.advance(events_max=500)
    replay = Replay(EBIZZY, [], machine.position())
    assert not replay.advance(499)
    assert replay.machine.stats().events == 499
    assert replay.advance(1)
    assert replay.done


def broken(position, **changes):
    return position.model_copy(update=changes)


def test_a_difference_is_told_with_its_place():
    machine, log = driven(EBIZZY, lambda _: [SetPolicy(policy="classic"), SetBound()], [(50, None)] * 2)
    target = machine.position()
    with pytest.raises(ReplayDiffers, match="after 2 of 2 commands the replay is at delivery 130"):
        brought_back(EBIZZY, log, broken(target, fingerprint="0" * 32))
    bad = [log[0], log[1].model_copy(update={"at": broken(log[1].at, fingerprint="beef")})]
    with pytest.raises(ReplayDiffers, match=r"after 1 of 2 commands .* the log has delivery 130, .* fingerprint beef"):
        brought_back(EBIZZY, bad, target)
    with pytest.raises(ReplayDiffers, match="after 0 of 2"):
        brought_back(EBIZZY.model_copy(update={"seed": 99}), log, target)


def test_a_run_that_ends_too_early_or_has_too_much_before_the_time_differs():
    end = Position(events=10**6, now_ns=10**12, fingerprint="")
    with pytest.raises(ReplayDiffers):
        brought_back(EBIZZY, [], end)
    machine = LiveMachine(EBIZZY)
    machine.advance(events_max=300)
    with pytest.raises(ReplayDiffers, match="is at delivery 301"):
        brought_back(EBIZZY, [], broken(machine.position(), now_ns=machine.stats().now_ns + 100 * US))


def test_a_log_must_ascend():
    machine, log = driven(EBIZZY, every_command, [(10, None)] * 14)
    with pytest.raises(ReplayDiffers, match="ascend"):
        Replay(EBIZZY, log[::-1], machine.position())
    with pytest.raises(ReplayDiffers, match="ascend"):
        Replay(EBIZZY, log, log[-2].at)


def test_a_command_that_cannot_be_repeated_is_a_difference():
    machine = LiveMachine(COLLAPSE)
    machine.advance(events_max=100)
    entry = machine.apply(inject("starved_cpu", cpu=3, duration_ns=1))
    with pytest.raises(ReplayDiffers, match="command 1 of 1 cannot be repeated: cpu 3: no such CPU; there are 0 to 1"):
        brought_back(
            COLLAPSE.model_copy(update={"cpus": 2}),
            [entry.model_copy(update={"at": LiveMachine(COLLAPSE).position()})],
            machine.position(),
        )


def test_the_quota_is_part_of_the_past():
    machine = LiveMachine(EBIZZY, limits=Quota(events_max=400))
    result = ran(machine)
    assert ran(brought_back(EBIZZY, [], machine.position(), limits=Quota(events_max=400))) == result
