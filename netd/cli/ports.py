"""port: where a container is reached; publishing more of it, and less."""

from typing import Annotated

import typer

from netd.cli.client import quoted
from netd.cli.errors import CliError
from netd.cli.port_texts import addresses, public_lines
from netd.cli.port_words import bindings
from netd.cli.shapes import ContainerDetails, PublicPorts
from netd.cli.tables import write
from netd.cli.words import argument, client_of

_METHODS = {"add": "POST", "rm": "DELETE"}
_Words = Annotated[
    list[str], argument("CONTAINER [PRIVATE_PORT[/PROTO]] | add|rm CONTAINER PORT [PORT...]")
]


def port(ctx: typer.Context, words: _Words) -> None:
    """List the published ports of a container, or change them.

    With a port of the container, only where that one is reached is printed.

    "add" and "rm" publish ports of a container that is there already, and take them away, at once
    where it runs. PORT is said as for "netd run -p"; rm without a port of the host takes away
    all that lead to the container's.

    Example: netd port web 80/tcp
    Example: netd port add web 8443:443 127.0.0.1:5353:53/udp
    Example: netd port rm web 443
    """
    if words[0] in _METHODS and len(words) > 2:
        _change(ctx, *words)
        return
    container, *ports = words
    if len(ports) > 1:
        raise CliError(
            f"got unexpected extra argument(s) ({' '.join(ports[1:])})", "see netd port --help"
        )
    details: ContainerDetails = client_of(ctx).json("GET", f"/containers/{quoted(container)}/json")
    found = details["NetworkSettings"].get("Ports") or {}
    _print(_reached(found, container, ports[0]) if ports else public_lines(found))


def _change(ctx: typer.Context, verb: str, container: str, *specs: str) -> None:
    path = f"/netd/containers/{quoted(container)}/ports"
    answer = client_of(ctx).json(_METHODS[verb], path, body={"PortBindings": bindings(specs)})
    if verb == "add":
        _print(public_lines(answer["Ports"]))


def _reached(ports: PublicPorts, container: str, word: str) -> list[str]:
    number, _, protocol = word.partition("/")
    if not (number.isascii() and number.isdigit() and int(number[:6]) < 65536):
        raise CliError(f"invalid port ({number})", "for example netd port web 53/udp")
    found = ports.get(f"{int(number)}/{protocol.lower() or 'tcp'}")
    if not found:
        raise CliError(f"no public port '{word}' published for {container}")
    return addresses(found)


def _print(lines: list[str]) -> None:
    write("".join(f"{line}\n" for line in lines))
