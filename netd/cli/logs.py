"""logs: what a container wrote."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from netd.cli.client import quoted
from netd.cli.errors import CliError
from netd.cli.frames import STDERR, Frames
from netd.cli.units import timestamp
from netd.cli.words import ContainerWord, Since, Until, client_of

if TYPE_CHECKING:
    from netd.cli.shapes import ContainerDetails


def logs(
    ctx: typer.Context,
    container: ContainerWord,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until it ends")] = False,
    since: Since = "",
    until: Until = "",
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
    frames = None if details["Config"].get("Tty") else Frames()
    query = {
        "stdout": True,
        "stderr": True,
        "follow": follow,
        "since": timestamp(since, "--since") if since else "",
        "until": timestamp(until, "--until") if until else "",
        "tail": tail,
        "timestamps": timestamps,
    }
    with client.open("GET", f"/containers/{quoted(container)}/logs", query) as answer:
        for piece in answer.pieces():
            _show(piece, frames)
            if follow:
                sys.stdout.flush()


def _show(piece: bytes, frames: Frames | None) -> None:
    if frames is None:
        sys.stdout.buffer.write(piece)
        return
    for stream, data in frames.feed(piece):
        if stream == STDERR:
            sys.stdout.flush()  # both may go to the same place, and keep their order there
            sys.stderr.buffer.write(data)
            sys.stderr.flush()
        else:
            sys.stdout.buffer.write(data)
