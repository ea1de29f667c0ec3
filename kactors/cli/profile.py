"""`kactors profile`: the sheet of a machine, what differs between two, what its figures hang on."""

from __future__ import annotations

import json

import click

from kactors.cli.commands import main


@main.command()
@click.argument("name", metavar="MACHINE")
@click.option("--diff", "other", metavar="MACHINE", help="Only what differs from this machine.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (docs/json.md).")
def profile(name: str, other: str | None, as_json: bool) -> int:
    """Show a MACHINE's topology and every parameter with its unit, range and where it comes from.

    MACHINE is a name that `kactors list` shows, generic:N, or a TOML file of one's own.
    """
    from kactors.report import profile_sheet as sheets

    if as_json:
        click.echo(json.dumps(sheets.difference_data(name, other) if other else sheets.as_data(name), indent=2))
    else:
        click.echo(sheets.difference(name, other) if other else sheets.sheet(name), nl=False)
    return 0
