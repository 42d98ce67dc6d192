"""exec: a further command in a running container."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Annotated

import typer

from netd.cli import terminal
from netd.cli.attach import pumped
from netd.cli.client import Client, quoted
from netd.cli.create_request import variables
from netd.cli.errors import CliError
from netd.cli.keys import key_sequence
from netd.cli.streams import Stream
from netd.cli.words import ContainerWord, DetachKeys, argument, client_of, with_options


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecOptions:
    """The words of `exec`."""

    container: ContainerWord
    command: Annotated[list[str], argument("COMMAND [ARG...]")]
    detach: Annotated[bool, typer.Option("-d", "--detach", help="Leave it in the background")] = (
        False
    )
    detach_keys: DetachKeys = ""
    interactive: Annotated[
        bool, typer.Option("-i", "--interactive", help="Connect standard input")
    ] = False
    tty: Annotated[bool, typer.Option("-t", "--tty", help="Give it a terminal")] = False
    env: Annotated[
        list[str], typer.Option("-e", "--env", metavar="list", help="Environment variable")
    ] = field(default_factory=list)
    env_file: Annotated[
        list[str], typer.Option("--env-file", metavar="list", help="File of environment variables")
    ] = field(default_factory=list)
    user: Annotated[
        str, typer.Option("-u", "--user", metavar="string", help="User, as name or id[:group]",
                          show_default=False)
    ] = ""  # fmt: skip
    workdir: Annotated[
        str, typer.Option("-w", "--workdir", metavar="string", help="Working directory",
                          show_default=False)
    ] = ""  # fmt: skip
    privileged: Annotated[bool, typer.Option("--privileged", help="Give it all privileges")] = False


@with_options(ExecOptions)
def exec_(ctx: typer.Context, options: ExecOptions) -> None:
    """Run a further command in a running container.

    Example: netd exec -it web sh
    """
    client = client_of(ctx)
    stdin = options.interactive and not options.detach
    terminal.check_terminal(tty=options.tty, stdin=stdin)
    console = terminal.size() if options.tty else None
    answer = client.json(
        "POST", f"/containers/{quoted(options.container)}/exec", body=exec_body(options, console)
    )
    ident = str(answer["Id"])
    start: dict[str, object] = {"Detach": options.detach, "Tty": options.tty}
    if options.detach:
        client.send("POST", f"/exec/{ident}/start", body=start)
        return
    if console:
        start["ConsoleSize"] = list(console)
    raise typer.Exit(_followed(client, ident, start, options))


def exec_body(options: ExecOptions, console: tuple[int, int] | None) -> dict[str, object]:
    """Give the body of `POST /containers/{id}/exec`."""
    import os

    body: dict[str, object] = {
        "Cmd": options.command,
        "Env": variables(options.env, options.env_file, os.environ),
        "User": options.user,
        "WorkingDir": options.workdir,
        "Privileged": options.privileged,
        "Tty": options.tty,
        "DetachKeys": options.detach_keys,
        "AttachStdin": options.interactive and not options.detach,
        "AttachStdout": not options.detach,
        "AttachStderr": not options.detach,
    }
    return body | ({"ConsoleSize": list(console)} if console else {})


def _followed(client: Client, ident: str, start: dict[str, object], options: ExecOptions) -> int:
    keys = key_sequence(options.detach_keys)
    with ExitStack() as stack:
        hijacked = client.hijack(f"/exec/{ident}/start", body=start)
        stack.callback(hijacked.close)
        if options.tty:
            stack.enter_context(terminal.resizing(lambda *size: _resize(client, ident, *size)))
        stream = Stream(
            hijacked,
            tty=options.tty,
            stdin=options.interactive,
            keys=keys if options.tty else None,
        )
        pumped(stream, raw=options.tty and options.interactive)
    if stream.detached:
        return 0
    details = client.json("GET", f"/exec/{ident}/json")
    if details.get("Running") or details.get("ExitCode") is None:
        raise CliError(f"the stream of exec {ident[:12]} ended, but its command runs on")
    return int(details["ExitCode"])


def _resize(client: Client, ident: str, rows: int, columns: int) -> None:
    client.send("POST", f"/exec/{ident}/resize", {"h": rows, "w": columns})
