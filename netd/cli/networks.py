"""network create, ls, inspect, connect, disconnect, rm, prune."""

import sys
from dataclasses import dataclass, field
from typing import Annotated

import typer

from netd.cli.client import filters, quoted
from netd.cli.errors import CliError
from netd.cli.network_words import endpoint_settings, pairs, pools
from netd.cli.shapes import NetworkSummary
from netd.cli.tables import Listing, label_of, labels_text
from netd.cli.units import go_time
from netd.cli.words import (
    NONE,
    Filters,
    Form,
    InspectForm,
    NoTrunc,
    Quiet,
    argument,
    client_of,
    each,
    with_options,
)

LISTING = Listing(
    headings={
        "ID": "NETWORK ID", "Name": "NAME", "Driver": "DRIVER", "Scope": "SCOPE", "IPv4": "IPV4",
        "IPv6": "IPV6", "Internal": "INTERNAL", "Labels": "LABELS", "CreatedAt": "CREATED AT",
    },
    table="table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}",
)  # fmt: skip

_NetworkWord = Annotated[str, argument("NETWORK")]
_NetworkWords = Annotated[list[str], argument("NETWORK [NETWORK...]")]


@dataclass(frozen=True, slots=True)
class CreateOptions:
    """The words of `network create`."""

    name: _NetworkWord
    driver: Annotated[
        str, typer.Option("-d", "--driver", metavar="string", help="Driver of the network")
    ] = "bridge"
    subnet: Annotated[
        list[str],
        typer.Option("--subnet", metavar="prefix", help="Subnet, for example 10.9.0.0/24"),
    ] = field(default_factory=list)
    gateway: Annotated[
        list[str], typer.Option("--gateway", metavar="address", help="Gateway of a subnet")
    ] = field(default_factory=list)
    ip_range: Annotated[
        list[str],
        typer.Option(
            "--ip-range", metavar="prefix", help="Part of a subnet to give addresses from"
        ),
    ] = field(default_factory=list)
    aux_address: Annotated[
        list[str],
        typer.Option(
            "--aux-address", metavar="name=address", help="Address in use by something else"
        ),
    ] = field(default_factory=list)
    ipv4: Annotated[bool, typer.Option("--ipv4/--no-ipv4", help="Give IPv4 addresses")] = True
    ipv6: Annotated[bool, typer.Option("--ipv6/--no-ipv6", help="Give IPv6 addresses")] = False
    internal: Annotated[
        bool, typer.Option("--internal", help="Keep it away from every other network")
    ] = False
    attachable: Annotated[
        bool, typer.Option("--attachable", help="Let single containers attach")
    ] = False
    opt: Annotated[
        list[str], typer.Option("-o", "--opt", metavar="key=value", help="Option of the driver")
    ] = field(default_factory=list)
    label: Annotated[list[str], typer.Option("--label", metavar="key=value", help="Label")] = field(
        default_factory=list
    )
    ipam_driver: Annotated[
        str, typer.Option("--ipam-driver", metavar="string", help="Driver of addresses")
    ] = "default"
    ipam_opt: Annotated[
        list[str],
        typer.Option("--ipam-opt", metavar="key=value", help="Option of the driver of addresses"),
    ] = field(default_factory=list)


@with_options(CreateOptions)
def create(ctx: typer.Context, options: CreateOptions) -> None:
    """Create a network.

    Example: netd network create --subnet 10.9.0.0/24 front
    """
    answer = client_of(ctx).json("POST", "/networks/create", body=create_body(options))
    if answer.get("Warning"):
        print(f"warning: {answer['Warning']}", file=sys.stderr)
    print(answer["Id"])


def create_body(options: CreateOptions) -> dict[str, object]:
    """Give the body of `POST /networks/create`."""
    return {
        "Name": options.name,
        "Driver": options.driver,
        "EnableIPv4": options.ipv4,
        "EnableIPv6": options.ipv6,
        "Internal": options.internal,
        "Attachable": options.attachable,
        "IPAM": {
            "Driver": options.ipam_driver,
            "Options": pairs(options.ipam_opt, "--ipam-opt"),
            "Config": pools(options.subnet, options.gateway, options.ip_range, options.aux_address),
        },
        "Options": pairs(options.opt, "--opt"),
        "Labels": pairs(options.label, "--label"),
    }


def ls(
    ctx: typer.Context,
    quiet: Quiet = False,
    filter_: Filters = NONE,
    form: Form = "",
    no_trunc: NoTrunc = False,
) -> None:
    """List networks.

    Example: netd network ls --filter driver=bridge
    """
    found: list[NetworkSummary] = client_of(ctx).json(
        "GET", "/networks", {"filters": filters(filter_)}
    )
    found.sort(key=lambda network: network["Name"])
    LISTING.show([row(network, whole=no_trunc) for network in found], form, quiet=quiet)


def row(network: NetworkSummary, *, whole: bool = False) -> dict[str, object]:
    """Give the fields of one network, as docker's `--format` names them."""
    return {
        "ID": network["Id"] if whole else network["Id"][:12],
        "Name": network["Name"],
        "Driver": network.get("Driver", ""),
        "Scope": network.get("Scope", ""),
        "IPv4": str(network.get("EnableIPv4", True)).lower(),
        "IPv6": str(network.get("EnableIPv6", False)).lower(),
        "Internal": str(network.get("Internal", False)).lower(),
        "Labels": labels_text(network.get("Labels")),
        "Label": label_of(network.get("Labels")),
        "CreatedAt": go_time(network.get("Created", "")),
    }


def inspect(
    ctx: typer.Context,
    networks: _NetworkWords,
    form: InspectForm = "",
) -> None:
    """Show all about one or more networks.

    Example: netd network inspect -f '{{range .IPAM.Config}}{{.Subnet}}{{end}}' front
    """
    from netd.cli.inspection import inspect_all

    inspect_all(client_of(ctx), networks, ("network",), form)


def connect(
    ctx: typer.Context,
    *,
    network: _NetworkWord,
    container: Annotated[str, argument("CONTAINER")],
    ip: Annotated[str, typer.Option("--ip", metavar="address", help="IPv4 address")] = "",
    ip6: Annotated[str, typer.Option("--ip6", metavar="address", help="IPv6 address")] = "",
    alias: Annotated[
        list[str], typer.Option("--alias", metavar="name", help="Further name on this network")
    ] = NONE,
    gw_priority: Annotated[
        int,
        typer.Option("--gw-priority", metavar="int", help="The highest gives the default route"),
    ] = 0,
    driver_opt: Annotated[
        list[str], typer.Option("--driver-opt", metavar="key=value", help="Option of the driver")
    ] = NONE,
    link: Annotated[
        list[str], typer.Option("--link", metavar="name[:alias]", help="Name another container")
    ] = NONE,
) -> None:
    """Connect a container to a network.

    Example: netd network connect --alias db front postgres
    """
    settings = endpoint_settings(
        ipv4=ip,
        ipv6=ip6,
        aliases=alias,
        priority=gw_priority,
        driver_options=driver_opt,
        links=link,
    )
    client_of(ctx).send(
        "POST",
        f"/networks/{quoted(network)}/connect",
        body={"Container": container, "EndpointConfig": settings},
    )


def disconnect(
    ctx: typer.Context,
    network: _NetworkWord,
    container: Annotated[str, argument("CONTAINER")],
    force: Annotated[
        bool, typer.Option("-f", "--force", help="Disconnect a container that is gone, too")
    ] = False,
) -> None:
    """Disconnect a container from a network.

    Example: netd network disconnect front postgres
    """
    client_of(ctx).send(
        "POST",
        f"/networks/{quoted(network)}/disconnect",
        body={"Container": container, "Force": force},
    )


def rm(
    ctx: typer.Context,
    networks: _NetworkWords,
    force: Annotated[
        bool, typer.Option("-f", "--force", help="Say nothing about networks that are not there")
    ] = False,
) -> None:
    """Remove one or more networks.

    Example: netd network rm front back
    """
    client = client_of(ctx)

    def act(name: str) -> None:
        try:
            client.send("DELETE", f"/networks/{quoted(name)}")
        except CliError as error:
            if force and getattr(error, "status", 0) == 404:
                return
            raise
        print(name)

    each(networks, act)


def prune(
    ctx: typer.Context,
    force: Annotated[bool, typer.Option("-f", "--force", help="Do not ask")] = False,
    filter_: Annotated[
        list[str],
        typer.Option(
            "--filter", metavar="filter", help="Only those that match, as label=x, until=1h"
        ),
    ] = NONE,
) -> None:
    """Remove all networks that no container uses.

    Example: netd network prune -f --filter label=lab
    """
    if not force and not _agreed():
        return
    query = {"filters": filters(filter_)}
    answer = client_of(ctx).json("POST", "/networks/prune", query)
    removed: list[str] = (answer or {}).get("NetworksDeleted") or []
    if removed:
        print("Deleted Networks:", *removed, "", sep="\n")


def _agreed() -> bool:
    print("This removes all networks not used by a container. Go on? [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
