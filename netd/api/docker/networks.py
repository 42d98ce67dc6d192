"""Networks: `POST /networks/create` and connect decoded, inspect and lists encoded."""

from collections.abc import Sequence

from msgspec import Struct, field

from netd.api.docker.endpoints import EndpointSettings, endpoint_request, member_answer
from netd.api.docker.shapes import Json, TextMap, text_map, unset
from netd.api.docker.times import rfc3339
from netd.errors import InvalidError
from netd.model import (
    PREDEFINED,
    Container,
    Endpoint,
    EndpointRequest,
    Network,
    NetworkRequest,
    Subnet,
    SubnetRequest,
)


class IpamSubnet(Struct, rename="pascal"):
    """An entry of `IPAM.Config`."""

    subnet: str | None = None
    ip_range: str | None = field(name="IPRange", default=None)
    gateway: str | None = None
    auxiliary: TextMap = field(name="AuxiliaryAddresses", default=None)
    aux_address: TextMap = field(name="AuxAddress", default=None)


class Ipam(Struct, rename="pascal"):
    """Who hands out addresses, and which."""

    driver: str | None = None
    options: TextMap = None
    config: list[IpamSubnet] | None = None


class CreateNetwork(Struct, rename="pascal"):
    """The body of `POST /networks/create`; `CheckDuplicate` is always so."""

    name: str
    driver: str | None = None
    scope: str | None = None
    internal: bool | None = None
    attachable: bool | None = None
    ingress: bool | None = None
    config_only: bool | None = None
    config_from: Json | None = None
    ipam: Ipam | None = field(name="IPAM", default=None)
    enable_ipv4: bool | None = field(name="EnableIPv4", default=None)
    enable_ipv6: bool | None = field(name="EnableIPv6", default=None)
    options: TextMap = None
    labels: TextMap = None


class Connect(Struct, rename="pascal"):
    """The body of `POST /networks/{id}/connect`."""

    container: str | None = None
    endpoint_config: EndpointSettings | None = None


class Disconnect(Struct, rename="pascal"):
    """The body of `POST /networks/{id}/disconnect`."""

    container: str | None = None
    force: bool | None = None


def network_request(body: CreateNetwork) -> NetworkRequest:
    """Return what a client wants created; raises InvalidError for what netd has not."""
    refused = [
        f"{name} is {value!r}"
        for name, value in (
            ("Ingress", body.ingress), ("ConfigOnly", body.config_only),
            ("ConfigFrom", body.config_from),
        )
        if not unset(value)
    ]  # fmt: skip
    if body.scope not in {None, "", "local"}:
        refused.append(f"Scope is {body.scope!r}")
    if refused:
        raise InvalidError(f"netd does not support: {'; '.join(refused)}")
    ipam = body.ipam or Ipam()
    return NetworkRequest(
        name=body.name,
        driver=body.driver or "bridge",
        subnets=tuple(_subnet(each) for each in ipam.config or ()),
        internal=bool(body.internal),
        enable_ipv4=True if body.enable_ipv4 is None else body.enable_ipv4,
        enable_ipv6=bool(body.enable_ipv6),
        attachable=bool(body.attachable),
        options=text_map(body.options),
        labels=text_map(body.labels),
        ipam_driver=ipam.driver or "default",
        ipam_options=text_map(ipam.options),
    )


def connection_request(network: str, body: Connect) -> EndpointRequest:
    """Return what a client wants of an endpoint on a network."""
    return endpoint_request(network, body.endpoint_config)


def network_answer(network: Network, members: Sequence[tuple[Container, Endpoint]] = ()) -> Json:
    """Return a network as inspect gives it; lists give no members."""
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": rfc3339(network.created),
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv4": network.enable_ipv4,
        "EnableIPv6": network.enable_ipv6,
        "IPAM": {
            "Driver": network.ipam_driver,
            "Options": dict(network.ipam_options) if network.name not in PREDEFINED else None,
            "Config": [_subnet_answer(each) for each in network.subnets] or _no_subnets(network),
        },
        "Internal": network.internal,
        "Attachable": network.attachable,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {
            container.id: member_answer(container, endpoint) for container, endpoint in members
        },
        "Options": dict(network.options),
        "Labels": dict(network.labels),
    }


def _subnet(asked: IpamSubnet) -> SubnetRequest:
    return SubnetRequest(
        subnet=asked.subnet or "",
        gateway=asked.gateway or "",
        ip_range=asked.ip_range or "",
        auxiliary=text_map(asked.auxiliary or asked.aux_address),
    )


def _subnet_answer(subnet: Subnet) -> Json:
    answer: Json = {"Subnet": str(subnet.prefix)}
    if subnet.ip_range:
        answer["IPRange"] = str(subnet.ip_range)
    if subnet.gateway:
        answer["Gateway"] = str(subnet.gateway)
    if subnet.auxiliary:
        answer["AuxiliaryAddresses"] = {k: str(v) for k, v in subnet.auxiliary.items()}
    return answer


def _no_subnets(network: Network) -> list[Json] | None:
    return None if network.name in PREDEFINED else []
