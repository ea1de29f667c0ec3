"""Which mechanism carries the match with published figures: ``python -m benchmarks.fidelity``, as in docs/fidelity.md.

With --write the tables there are replaced.
"""

import argparse
from pathlib import Path

from kactors.studies.effort import Effort
from kactors.studies.fidelity import match_all, runs
from kactors.studies.fidelity_text import fidelity_markdown
from kactors.sweep import RunsBar

DOC = Path(__file__).parents[1] / "docs" / "fidelity.md"
BEGIN = "<!-- python -m benchmarks.fidelity --write -->\n"
END = "<!-- end -->\n"
PRECISION, EVENTS_MAX = 0.03, 1_500_000


def spliced(doc: str, tables: str) -> str:
    """Return the document with the tables in the place of those that are there."""
    head, _, rest = doc.partition(BEGIN)
    return head + BEGIN + "\n" + tables + "\n" + END + rest.partition(END)[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="replace the tables in docs/fidelity.md")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--precision", type=float, default=PRECISION, help="half-width as a share: 0.03")
    given = parser.parse_args()
    with RunsBar(runs(given.seed)) as bar:
        effort = Effort(seed=given.seed, relative=given.precision, events_max=EVENTS_MAX, on_done=bar.advance)
        tables = fidelity_markdown(match_all(effort))
    print(tables, end="")
    if given.write:
        DOC.write_text(spliced(DOC.read_text(encoding="utf-8"), tables), encoding="utf-8")


if __name__ == "__main__":
    main()
