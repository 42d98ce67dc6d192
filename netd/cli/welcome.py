"""What `netd` alone says: what runs now, and what to try."""

from netd import __version__
from netd.cli.client import Client
from netd.cli.errors import CliError
from netd.cli.shapes import ContainerSummary, NetworkSummary
from netd.cli.tables import aligned, write

_TRY = (
    ("netd network create front", "a network of its own"),
    ("netd run -d --network front --name web demo httpd -f -p 80 -h /www", "a web server on it"),
    ("netd run --rm --network front demo wget -qO- http://web", "ask it by name"),
)
_SHOWN = 10


def welcome(host: str) -> None:
    """Print a short greeting, what runs, and three commands to try."""
    lines = [f"netd {__version__}: containers on networks one can see into", ""]
    client = Client(host)
    try:
        containers: list[ContainerSummary] = client.json("GET", "/containers/json")
        networks: list[NetworkSummary] = client.json("GET", "/networks")
    except CliError as error:
        lines += [f"Now: {error.message}", f"     {error.hint}" if error.hint else ""]
    else:
        lines += _now(containers, networks)
    tried = aligned([f"  {command}\t{why}" for command, why in _TRY]).rstrip("\n")
    lines += ["", "Try:", tried, "", "All commands: netd --help    This machine: netd doctor"]
    write("\n".join(lines) + "\n")


def _now(containers: list[ContainerSummary], networks: list[NetworkSummary]) -> list[str]:
    lines = [f"Now: {_count(containers, 'container')} running, {_count(networks, 'network')}"]
    for network in sorted(networks, key=lambda item: item["Name"])[:_SHOWN]:
        names = sorted(
            container["Names"][0].removeprefix("/")
            for container in containers
            if network["Name"] in container.get("NetworkSettings", {}).get("Networks", {})
        )
        if names or network.get("Driver") not in {"host", "null"}:
            lines.append(f"  {network['Name']}: {', '.join(names) or 'nobody'}")
    return lines


def _count(things: list[ContainerSummary] | list[NetworkSummary], word: str) -> str:
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}"
