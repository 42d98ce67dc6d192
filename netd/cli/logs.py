"""logs: what a container wrote."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from netd.cli.client import quoted
from netd.cli.errors import CliError
from netd.cli.frames import STDERR, Frames
from netd.cli.units import timestamp
from netd.cli.words import ContainerWord, client_of

if TYPE_CHECKING:
    from netd.cli.shapes import ContainerDetails


def logs(
    ctx: typer.Context,
    container: ContainerWord,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until it ends")] = False,
    since: Annotated[
        str,
        typer.Option(
            "--since",
            metavar="time",
            help="Only what came later, for example 10m",
            show_default=False,
        ),
    ] = "",
    until: Annotated[
        str,
        typer.Option("--until", metavar="time", help="Only what came before", show_default=False),
    ] = "",
    tail: Annotated[
        str, typer.Option("-n", "--tail", metavar="string", help="How many lines from the end")
    ] = "all",
    timestamps: Annotated[bool, typer.Option("-t", "--timestamps", help="Show times")] = False,
) -> None:
    """Show what a container wrote.

    Example: netd logs -f --tail 20 web
    """
    if tail != "all" and not tail.removeprefix("-").isdigit():
        raise CliError(f"--tail {tail!r} is neither a number nor 'all'")
    client = client_of(ctx)
    details: ContainerDetails = client.json("GET", f"/containers/{quoted(container)}/json")
    answer = client.open(
        "GET",
        f"/containers/{quoted(container)}/logs",
        {
            "stdout": True,
            "stderr": True,
            "follow": follow,
            "since": timestamp(since, "--since") if since else "",
            "until": timestamp(until, "--until") if until else "",
            "tail": tail,
            "timestamps": timestamps,
        },
    )
    frames = None if details["Config"].get("Tty") else Frames()
    with answer:
        for piece in answer.pieces():
            if frames is None:
                sys.stdout.buffer.write(piece)
            else:
                for stream, data in frames.feed(piece):
                    (sys.stderr if stream == STDERR else sys.stdout).buffer.write(data)
                sys.stderr.flush()
            if follow:
                sys.stdout.flush()
