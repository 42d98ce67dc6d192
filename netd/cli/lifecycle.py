"""start, stop, restart, kill, wait, rm: what moves containers through their lives."""

from typing import Annotated

import typer

from netd.cli.client import quoted
from netd.cli.errors import CliError
from netd.cli.words import ContainerWords, DetachKeys, client_of, each, report

_Signal = Annotated[
    str,
    typer.Option(
        "-s", "--signal", metavar="string", help="Signal to send to the container",
        show_default=False,
    ),
]  # fmt: skip
_Timeout = Annotated[
    int | None,
    typer.Option("-t", "--timeout", "--time", metavar="int", help="Seconds to wait before killing"),
]


def start(
    ctx: typer.Context,
    containers: ContainerWords,
    attach: Annotated[
        bool, typer.Option("-a", "--attach", help="Show its output and forward signals")
    ] = False,
    interactive: Annotated[
        bool, typer.Option("-i", "--interactive", help="Connect standard input too")
    ] = False,
    detach_keys: DetachKeys = "",
) -> None:
    """Start one or more stopped containers.

    Example: netd start -a web
    """
    client = client_of(ctx)
    if attach or interactive:
        if len(containers) > 1:
            raise CliError(f"cannot attach to several containers at once: {' '.join(containers)}")
        from netd.cli.attach import start_attached

        raise typer.Exit(
            start_attached(client, containers[0], stdin=interactive, detach_keys=detach_keys)
        )

    def act(name: str) -> None:
        client.send("POST", f"/containers/{quoted(name)}/start")
        print(name)

    each(containers, act)


def stop(
    ctx: typer.Context,
    containers: ContainerWords,
    signal: _Signal = "",
    timeout: _Timeout = None,
) -> None:
    """Stop one or more running containers.

    Example: netd stop -t 2 web db
    """
    _post_each(ctx, containers, "stop", {"signal": signal, "t": timeout})


def restart(
    ctx: typer.Context,
    containers: ContainerWords,
    signal: _Signal = "",
    timeout: _Timeout = None,
) -> None:
    """Restart one or more containers.

    Example: netd restart web
    """
    _post_each(ctx, containers, "restart", {"signal": signal, "t": timeout})


def kill(ctx: typer.Context, containers: ContainerWords, signal: _Signal = "") -> None:
    """Kill one or more running containers.

    Example: netd kill -s HUP web
    """
    _post_each(ctx, containers, "kill", {"signal": signal})


def wait(ctx: typer.Context, containers: ContainerWords) -> None:
    """Block until containers stop, then print their exit codes.

    Example: netd wait job
    """
    client = client_of(ctx)

    def act(name: str) -> None:
        print(client.json("POST", f"/containers/{quoted(name)}/wait")["StatusCode"], flush=True)

    each(containers, act)


def rm(
    ctx: typer.Context,
    containers: ContainerWords,
    force: Annotated[
        bool, typer.Option("-f", "--force", help="Remove running ones too, by killing them")
    ] = False,
    volumes: Annotated[
        bool, typer.Option("-v", "--volumes", help="Remove their anonymous volumes")
    ] = False,
) -> None:
    """Remove one or more containers.

    Example: netd rm -f web db
    """
    client = client_of(ctx)

    def act(name: str) -> None:
        try:
            client.send("DELETE", f"/containers/{quoted(name)}", {"force": force, "v": volumes})
        except CliError as error:
            if getattr(error, "status", 0) != 404 or not force:
                raise
            report(error)  # but it is as it was wanted, as docker sees it
            return
        print(name)

    each(containers, act)


def _post_each(
    ctx: typer.Context, containers: list[str], verb: str, query: dict[str, object]
) -> None:
    client = client_of(ctx)

    def act(name: str) -> None:
        client.send("POST", f"/containers/{quoted(name)}/{verb}", query)
        print(name, flush=True)

    each(containers, act)
