"""run and create: containers from images."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import typer

from netd.cli import terminal
from netd.cli.attach import View, followed
from netd.cli.client import Client
from netd.cli.create_request import attached_streams, create_body
from netd.cli.errors import CliError, DaemonError
from netd.cli.run_options import ContainerOptions, RunOptions
from netd.cli.words import client_of, with_options

_NOT_RUN, _NOT_EXECUTABLE, _NOT_FOUND = 125, 126, 127  # docker's exit statuses of run


@with_options(RunOptions)
def run(ctx: typer.Context, options: RunOptions) -> None:
    """Create a container from an image and run it.

    Example: netd run -it --rm --network front --name web demo sh
    """
    client = client_of(ctx)
    terminal.check_terminal(tty=options.tty, stdin=options.interactive and not options.detach)
    with _docker_statuses():
        streams = attached_streams(options, detach=options.detach)
        ident = _created(client, options, detach=options.detach)
        with _removed_unless_started(client, ident, wanted=options.rm) as started:

            def begin() -> None:
                client.send("POST", f"/containers/{ident}/start")
                started.append(ident)

            if options.detach:
                begin()
                print(ident)
                return
            view = View(
                tty=options.tty,
                stdin="stdin" in streams,
                stdout="stdout" in streams,
                stderr="stderr" in streams,
                detach_keys=options.detach_keys,
                forward_signals=options.sig_proxy,
                until="removed" if options.rm else "next-exit",
            )
            status = followed(client, ident, view, begin)
    raise typer.Exit(status)


@with_options(ContainerOptions)
def create(ctx: typer.Context, options: ContainerOptions) -> None:
    """Create a container without starting it.

    Example: netd create --name web --network front demo httpd -f -p 80 -h /www
    """
    print(_created(client_of(ctx), options, detach=False))


def _created(client: Client, options: ContainerOptions, *, detach: bool) -> str:
    """Create the container and give its id."""
    if options.cidfile and Path(options.cidfile).exists():
        raise CliError(f"--cidfile {options.cidfile}: the file is there already")
    body = create_body(options, detach=detach, console=terminal.size())
    query = {"name": options.name, "platform": options.platform}
    try:
        answer = client.json("POST", "/containers/create", query, body)
    except DaemonError as error:
        if error.status == 404 and "image" in error.message.lower():
            error.message = f"no image {options.image} here"
            error.hint = "netd does not pull; load one: netd load -i IMAGE.tar (netd images lists)"
        raise
    for warning in answer.get("Warnings") or []:
        print(f"warning: {warning}", file=sys.stderr)
    ident = str(answer["Id"])
    if options.cidfile:
        Path(options.cidfile).write_text(ident)
    return ident


@contextmanager
def _removed_unless_started(client: Client, ident: str, *, wanted: bool) -> Iterator[list[str]]:
    """Remove the container where --rm was given and it never ran; give a list to mark it with."""
    started: list[str] = []
    try:
        yield started
    except BaseException:
        if wanted and not started:
            with suppress(CliError):  # the daemon removed it itself, or is gone
                client.send("DELETE", f"/containers/{ident}", {"force": True})
        raise


@contextmanager
def _docker_statuses() -> Iterator[None]:
    """Give errors the exit statuses that scripts know from docker run."""
    try:
        yield
    except CliError as error:
        text = error.message
        if "executable file not found" in text or "no such file or directory" in text:
            error.exit_code = _NOT_FOUND
        elif "permission denied" in text or "is a directory" in text:
            error.exit_code = _NOT_EXECUTABLE
        else:
            error.exit_code = _NOT_RUN
        raise
