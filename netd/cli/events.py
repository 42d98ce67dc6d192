"""events: what happens, as it happens."""

import json
from datetime import UTC, datetime
from typing import Annotated

import typer

from netd.cli.client import filters
from netd.cli.shapes import EventMessage
from netd.cli.tables import write
from netd.cli.units import timestamp
from netd.cli.words import NONE, Filters, Since, Until, client_of

_SECOND_NS = 1_000_000_000


def events(
    ctx: typer.Context,
    filter_: Filters = NONE,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="string",
            help="Print with a Go template, or 'json'",
            show_default=False,
        ),
    ] = "",
    since: Since = "",
    until: Until = "",
) -> None:
    """Show what happens to containers, networks and images.

    Example: netd events --since 10m --filter type=network
    """
    query = {
        "filters": filters(filter_),
        "since": timestamp(since, "--since") if since else "",
        "until": timestamp(until, "--until") if until else "",
    }
    from netd.cli.template import Template

    template = Template("{{json .}}" if form == "json" else form) if form else None
    with client_of(ctx).open("GET", "/events", query) as answer:
        for line in answer.lines():
            message: EventMessage = json.loads(line)
            write((template.render(message) if template else event_text(message)) + "\n")


def event_text(message: EventMessage) -> str:
    """Say an event in one line: time, what, which, attributes."""
    seconds, nanoseconds = divmod(message["timeNano"], _SECOND_NS)
    local = datetime.fromtimestamp(seconds, UTC).astimezone()
    zone = local.strftime("%z")
    zone = "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
    moment = f"{local:%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}{zone}"
    attributes = message["Actor"].get("Attributes") or {}
    words = ", ".join(f"{name}={attributes[name]}" for name in sorted(attributes))
    text = f"{moment} {message['Type']} {message['Action']} {message['Actor']['ID']}"
    return f"{text} ({words})" if words else text
