"""attach, and what `run` and `start -a` share with it: a container's streams, then its status."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from netd.cli import terminal
from netd.cli.client import Client, Query, quoted
from netd.cli.errors import CliError
from netd.cli.keys import key_sequence
from netd.cli.streams import Stream
from netd.cli.words import ContainerWord, DetachKeys, client_of

if TYPE_CHECKING:
    from netd.cli.shapes import ContainerDetails


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How to look at a container: which streams, and what the terminal does."""

    tty: bool
    stdin: bool
    stdout: bool = True
    stderr: bool = True
    detach_keys: str = ""
    forward_signals: bool = True
    ends_with_input: bool = False  # the daemon ends the attach where our input ends
    until: str = "next-exit"  # the condition waited for: next-exit, removed or not-running


def attach(
    ctx: typer.Context,
    container: ContainerWord,
    detach_keys: DetachKeys = "",
    no_stdin: Annotated[
        bool, typer.Option("--no-stdin", help="Leave standard input alone")
    ] = False,
    sig_proxy: Annotated[
        bool, typer.Option("--sig-proxy/--no-sig-proxy", help="Forward signals to the process")
    ] = True,
) -> None:
    """Attach to a running container's streams.

    Example: netd attach --no-stdin web
    """
    client = client_of(ctx)
    details: ContainerDetails = client.json("GET", f"/containers/{quoted(container)}/json")
    if not details["State"].get("Running"):
        raise CliError(
            f"container {container} is not running", f"start it: netd start -a {container}"
        )
    tty = details["Config"].get("Tty", False)
    stdin = details["Config"].get("OpenStdin", False) and not no_stdin
    terminal.check_terminal(tty=tty, stdin=stdin)
    view = View(
        tty=tty,
        stdin=stdin,
        detach_keys=detach_keys,
        forward_signals=sig_proxy and not tty,
        ends_with_input=not details["Config"].get("StdinOnce", False),
        until="not-running",
    )
    raise typer.Exit(followed(client, details["Id"], view))


def start_attached(client: Client, container: str, *, stdin: bool, detach_keys: str) -> int:
    """Attach, then start; give the exit status."""
    path = f"/containers/{quoted(container)}"
    details: ContainerDetails = client.json("GET", f"{path}/json")
    if details["State"].get("Running"):
        raise CliError(
            f"container {container} runs already", f"look at it: netd attach {container}"
        )
    tty = details["Config"].get("Tty", False)
    stdin = stdin and details["Config"].get("OpenStdin", False)
    terminal.check_terminal(tty=tty, stdin=stdin)
    view = View(
        tty=tty,
        stdin=stdin,
        detach_keys=detach_keys,
        forward_signals=not tty,
        until="removed" if details["HostConfig"].get("AutoRemove") else "next-exit",
    )
    return followed(client, details["Id"], view, lambda: client.send("POST", f"{path}/start"))


def followed(
    client: Client, ident: str, view: View, begin: Callable[[], object] | None = None
) -> int:
    """Attach, wait, begin (start it), pass the streams until they end; give the exit status.

    The order matters: attached before the start no output is lost, and the wait's head tells that
    the daemon will notice even the shortest run.
    """
    path = f"/containers/{ident}"
    keys = key_sequence(view.detach_keys)
    with ExitStack() as stack:
        hijacked = client.hijack(f"{path}/attach", _query(view))
        stack.callback(hijacked.close)
        waiting = stack.enter_context(
            client.open("POST", f"{path}/wait", {"condition": view.until})
        )
        if begin:
            begin()

        def resize(rows: int, columns: int) -> None:
            client.send("POST", f"{path}/resize", {"h": rows, "w": columns})

        if view.tty:
            stack.enter_context(terminal.resizing(resize))
        if view.forward_signals:
            stack.enter_context(
                terminal.forwarded(lambda n: client.send("POST", f"{path}/kill", {"signal": n}))
            )
        stream = Stream(hijacked, tty=view.tty, stdin=view.stdin, keys=keys if view.tty else None)
        pumped(stream, raw=view.tty and view.stdin)
        if stream.detached:
            return 0
        if stream.input_ended and view.ends_with_input and _runs_on(client, path):
            return 0
        return _status(waiting.json())


def pumped(stream: Stream, *, raw: bool) -> None:
    """Pass the streams; with `raw` the user's terminal is the container's meanwhile."""
    if not raw:
        stream.pump()
        return
    with terminal.raw():
        stream.pump()


def _query(view: View) -> Query:
    return {
        "stream": True,
        "stdin": view.stdin,
        "stdout": view.stdout,
        "stderr": view.stderr,
        "detachKeys": view.detach_keys,
    }


def _runs_on(client: Client, path: str) -> bool:
    """Say whether it runs though its stream ended: our input's end was this attach's end."""
    try:
        details: ContainerDetails = client.json("GET", f"{path}/json")
    except CliError:
        return False
    return details["State"].get("Running", False)


def _status(answer: dict[str, object]) -> int:
    problem = answer.get("Error")
    if isinstance(problem, dict) and problem.get("Message"):
        raise CliError(str(problem["Message"]), exit_code=125)
    return int(str(answer["StatusCode"]))
