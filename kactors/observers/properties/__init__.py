"""Properties that no interleaving may break, one a file, fed by tracepoints only."""

from kactors.engine.observer import Observer
from kactors.observers.properties.freed_table_touched import FreedTableTouched
from kactors.observers.properties.pte_under_cleared_pmd import PteUnderClearedPmd
from kactors.observers.properties.store_lost import StoreLost


def all_properties() -> list[Observer]:
    """Return a fresh observer of each property."""
    return [StoreLost(), PteUnderClearedPmd(), FreedTableTouched()]
