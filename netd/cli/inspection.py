"""inspect: everything the daemon knows about containers, images and networks."""

from collections.abc import Sequence
from typing import Annotated

import typer

from netd.cli.client import Client, quoted
from netd.cli.errors import CliError, DaemonError, ReportedError, UnreachableError
from netd.cli.tables import write
from netd.cli.words import ContainerWords, InspectForm, argument, client_of, report

_PATHS = {
    "container": "/containers/{}/json",
    "image": "/images/{}/json",
    "network": "/networks/{}",
    "volume": "/volumes/{}",
}
_Size = Annotated[bool, typer.Option("-s", "--size", help="Show how much each container wrote")]


def inspect(
    ctx: typer.Context,
    names: Annotated[list[str], argument("NAME|ID [NAME|ID...]")],
    form: InspectForm = "",
    size: _Size = False,
    kind: Annotated[
        str,
        typer.Option(
            "--type",
            metavar="string",
            help=f"Look only at: {', '.join(_PATHS)}",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Show all about containers, images and networks.

    Example: netd inspect -f '{{.State.Pid}}' web
    """
    if kind and kind not in _PATHS:
        raise CliError(f"--type {kind!r} is not known", f"types: {', '.join(_PATHS)}")
    inspect_all(client_of(ctx), names, (kind,) if kind else tuple(_PATHS), form, size=size)


def inspect_container(
    ctx: typer.Context, containers: ContainerWords, form: InspectForm = "", size: _Size = False
) -> None:
    """Show all about one or more containers.

    Example: netd container inspect -f '{{json .State}}' web
    """
    inspect_all(client_of(ctx), containers, ("container",), form, size=size)


def inspect_image(
    ctx: typer.Context,
    images: Annotated[list[str], argument("IMAGE [IMAGE...]")],
    form: InspectForm = "",
) -> None:
    """Show all about one or more images.

    Example: netd image inspect -f '{{.Config.Cmd}}' demo
    """
    inspect_all(client_of(ctx), images, ("image",), form)


def inspect_all(
    client: Client, names: Sequence[str], kinds: Sequence[str], form: str, *, size: bool = False
) -> None:
    """Print what was found, then report what was not; the exit status says whether all was."""
    from netd.cli.template import Template

    template = Template("{{json .}}" if form == "json" else form) if form else None
    found: list[object] = []
    errors: list[CliError] = []
    for name in names:
        try:
            found.append(_object(client, name, kinds, size=size))
        except UnreachableError:
            raise
        except CliError as error:
            errors.append(error)
    if template:
        for thing in found:
            try:
                write(template.render(thing) + "\n")
            except CliError as error:
                errors.append(error)
    else:
        import json

        write(json.dumps(found, indent=4, ensure_ascii=False) + "\n")
    for problem in errors:
        report(problem)
    if errors:
        raise ReportedError


def _object(client: Client, name: str, kinds: Sequence[str], *, size: bool) -> object:
    for kind in kinds:
        query = {"size": True} if size and kind == "container" else None
        try:
            thing: object = client.json("GET", _PATHS[kind].format(quoted(name)), query)
        except DaemonError as error:
            if error.status != 404:
                raise
        else:
            return thing
    what = kinds[0] if len(kinds) == 1 else "object"
    raise CliError(f"no such {what}: {name}")
