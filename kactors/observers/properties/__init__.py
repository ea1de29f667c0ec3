"""Properties that no interleaving may break, one a file, fed by tracepoints only."""

from __future__ import annotations

from kactors.engine.errors import UsageError
from kactors.engine.observer import Observer
from kactors.observers.properties.base import Property
from kactors.observers.properties.freed_table_touched import FreedTableTouched
from kactors.observers.properties.irqs_balanced import IrqsBalanced
from kactors.observers.properties.lock_exclusion import LockExclusion
from kactors.observers.properties.page_accounting import PageAccounting
from kactors.observers.properties.pmd_populated_under_collapse import PmdPopulatedUnderCollapse
from kactors.observers.properties.pte_in_unmapped_area import PteInUnmappedArea
from kactors.observers.properties.pte_under_cleared_pmd import PteUnderClearedPmd
from kactors.observers.properties.stale_translation import StaleTranslation
from kactors.observers.properties.store_lost import StoreLost
from kactors.observers.properties.store_to_private_file import StoreToPrivateFile
from kactors.observers.properties.store_to_read_only import StoreToReadOnly
from kactors.observers.properties.transient_bound import TransientBound
from kactors.observers.properties.vma_use_after_free import VmaUseAfterFree
from kactors.user_file import class_from_file, names_a_file

PROPERTIES: dict[str, type[Property]] = {
    kind.name: kind
    for kind in (
        LockExclusion,
        StoreLost,
        StoreToReadOnly,
        StoreToPrivateFile,
        PteInUnmappedArea,
        PteUnderClearedPmd,
        PmdPopulatedUnderCollapse,
        PageAccounting,
        VmaUseAfterFree,
        FreedTableTouched,
        IrqsBalanced,
        StaleTranslation,
        TransientBound,
    )
}
"""Where several break at one moment, the first of these stops the run."""

__all__ = ["PROPERTIES", "Property", "all_properties", "load_property"]


def all_properties() -> list[Observer]:
    """Return a fresh observer of each property."""
    return [kind() for kind in PROPERTIES.values()]


def load_property(name: str) -> Property:
    """Return a fresh property of that name, or of the class of a user's file: ``path/mine.py:Mine``.

    Raises:
        UsageError: no such property, file or class.
    """
    if names_a_file(name):
        found: type[Property] = class_from_file("--property", name, Property)
        if not isinstance(getattr(found, "name", None), str):
            raise UsageError(f"--property {name}: the class has no name (a string): violations are told under it")
        if found.tracepoints is Observer.tracepoints and found.finish is Observer.finish:
            raise UsageError(f"--property {name}: it hears nothing: write tracepoints() or finish()")
        if found.deliveries is not Observer.deliveries:
            raise UsageError(f"--property {name}: properties hear tracepoints, and no deliveries: write tracepoints()")
        return found()
    known = PROPERTIES.get(name)
    if known is None:
        raise UsageError(
            f"--property {name}: no such property; there are {', '.join(PROPERTIES)}, and FILE.py:CLASS for your own"
        )
    return known()
