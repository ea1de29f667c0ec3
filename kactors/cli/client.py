"""`kactors client`: any method of the service by name, and its events."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import click

from kactors.cli.calling import Calling, connect_options
from kactors.cli.commands import main
from kactors.cli.draft import instead
from kactors.client import BlockingEvents, BlockingSession
from kactors.engine.errors import UsageError
from protocols.service.errors import ServiceError
from protocols.service.events import SubscribeParams
from protocols.service.methods import METHODS

EVENTS = "events"
HELLO = "hello"


class Methods(click.Group):
    """A command for each method, and one for events."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return what there is."""
        return [EVENTS, *METHODS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a method's command."""
        return _command(cmd_name) if cmd_name in METHODS else super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the first word names.

        Raises:
            UsageError: none, and which may be meant.
        """
        word = args[0]
        if self.get_command(ctx, word) is None:
            near = difflib.get_close_matches(word, [EVENTS, *METHODS], n=1)
            meant = f" did you mean {near[0]}?" if near else ""
            raise UsageError(f"there is no method {word};{meant} `kactors client --help` lists them")
        return super().resolve_command(ctx, args)


@main.group(cls=Methods, invoke_without_command=True, subcommand_metavar="METHOD [PARAMS]...")
@click.pass_context
def client(ctx: click.Context) -> None:
    """Call a METHOD of the service (`kactors serve`); print its result as JSON.

    Params are one JSON object, or words KEY=VALUE, where a VALUE is JSON or else text, and a.b=VALUE is a key inside a:

        kactors client sim.create scenario.workload=ebizzy name=mine

        kactors client sim.step session=mine events=1000
    """
    if ctx.invoked_subcommand is None:
        raise UsageError("name a method: kactors client sim.list; `kactors client --help` lists them")


@client.command(EVENTS)
@click.argument("session")
@click.option("--topics", default="state,counters", show_default=True, help="With commas.")
@click.option("--only", "filters", multiple=True, metavar="KEY=VALUE", help="A key of the filter. Repeatable.")
@click.option("--rate", type=click.IntRange(min=1), help="At most so many a second.")
@click.option("--interval-ns", type=click.IntRange(min=1000), help="Virtual time between counters.")
@click.option("--window", type=click.IntRange(min=1), default=256, show_default=True, help="Events on their way.")
@connect_options
def events_(
    session: str,
    topics: str,
    filters: Sequence[str],
    rate: int | None,
    interval_ns: int | None,
    window: int,
    calling: Calling,
) -> None:
    """Print the events of a SESSION as lines of JSON until Ctrl-C."""
    given = {"topics": topics.split(","), "filter": params_of(filters), "rate_per_s": rate, "interval_ns": interval_ns}
    params = {key: value for key, value in given.items() if value is not None}
    checked: SubscribeParams = _checked("sim.subscribe", {"session": session, "credit": window, **params})
    with calling.open() as service, _subscribed(service.session(session), checked) as events, ends_quietly():
        for event in events:
            click.echo(json.dumps(event.model_dump(mode="json")))


@contextmanager
def ends_quietly() -> Iterator[None]:
    """Leave the block at Ctrl-C: what is watched has no end of its own."""
    try:
        yield
    except KeyboardInterrupt:
        return


def params_of(words: Sequence[str]) -> dict[str, Any]:
    """Return the params that words make: one JSON object, or KEY=VALUE.

    Raises:
        UsageError: a word is neither.
    """
    match words:
        case [text] if text.lstrip().startswith("{"):
            return _object(text)
    params: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not (key and equals):
            raise UsageError(f"{word}: write KEY=VALUE, or all params as one JSON object")
        *outer, last = key.split(".")
        place = params
        for part in outer:
            inner = place.setdefault(part, {})
            if not isinstance(inner, dict):
                raise UsageError(f"{word}: {part} has a value of its own already")
            place = inner
        place[last] = _value(text)
    return params


def _subscribed(session: BlockingSession, params: SubscribeParams) -> AbstractContextManager[BlockingEvents]:
    return session.subscribe(
        params.topics,
        only=params.filter,
        rate_per_s=params.rate_per_s,
        interval_ns=params.interval_ns,
        window=params.credit,
    )


def _command(method: str) -> click.Command:
    info = METHODS[method]

    @click.argument("params", nargs=-1)
    @connect_options
    def call(params: tuple[str, ...], calling: Calling) -> None:
        given = params_of(params)
        if method == HELLO:
            given.pop("token", None)
            with calling.open(**given) as service:
                answer: Any = service.service.model_dump(mode="json")
        else:
            _checked(method, given)
            with calling.open() as service:
                answer = service.call(method, given)
        click.echo(json.dumps(answer, indent=2))

    keys = ", ".join(info.params.model_fields) or "none"
    return click.command(method, help=f"{info.summary}\n\nParams: {keys}.", short_help=info.summary)(call)


def _checked(method: str, given: dict[str, Any]) -> Any:
    """Check params before anybody is called.

    Raises:
        UsageError: naming the key, and what would be right.
    """
    from kactors.rpc.params import validate

    known = METHODS[method].params.model_fields
    for key in given:
        if key not in known:
            raise UsageError(f"{method} has no param {key}{instead(key, known)}")
    try:
        return validate(METHODS[method], [given])
    except ServiceError as error:
        raise UsageError(error.message) from error


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UsageError(f"params: no JSON: {error}") from error
    except RecursionError:
        raise UsageError("params: the JSON is nested too deeply") from None
    if not isinstance(value, dict):
        raise UsageError("params: the JSON is no object")
    return value


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
