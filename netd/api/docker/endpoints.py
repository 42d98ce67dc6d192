"""Docker's EndpointSettings: a container on a network, asked for and answered."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeVar

from msgspec import Struct, field

from netd.api.docker.shapes import Int64, Json, TextMap, Texts, or_null, text_map, texts
from netd.api.versions import Version
from netd.errors import InvalidError
from netd.model import PREDEFINED, Address, Container, Endpoint, EndpointRequest, Interface

_Family = TypeVar("_Family", IPv4Address, IPv6Address)


class IpamConfig(Struct):
    """The addresses asked for."""

    ipv4: str | None = field(name="IPv4Address", default=None)
    ipv6: str | None = field(name="IPv6Address", default=None)
    link_local: Texts = field(name="LinkLocalIPs", default=None)


class EndpointSettings(Struct, rename="pascal"):
    """What a request says; what only answers carry (`IPAddress`, `Gateway`) is not read."""

    ipam_config: IpamConfig | None = field(name="IPAMConfig", default=None)
    links: Texts = None
    aliases: Texts = None
    mac_address: str | None = None
    driver_opts: TextMap = None
    gw_priority: Int64 | None = None


def endpoint_request(network: str, settings: EndpointSettings | None) -> EndpointRequest:
    """Return what is asked for on a network; raises InvalidError, in Docker's words."""
    settings = settings or EndpointSettings()
    addresses = settings.ipam_config or IpamConfig()
    if addresses.link_local:
        raise _invalid(network, f"link-local addresses cannot be set: {addresses.link_local[0]}")
    request = EndpointRequest(
        aliases=tuple(dict.fromkeys(texts(settings.aliases))),
        ipv4=_address(network, addresses.ipv4, IPv4Address),
        ipv6=_address(network, addresses.ipv6, IPv6Address),
        mac=settings.mac_address or "",
        gateway_priority=settings.gw_priority or 0,
        driver_options=text_map(settings.driver_opts),
        links=texts(settings.links),
    )
    if "" in request.aliases:
        raise _invalid(network, "an alias is empty")
    if network in {"host", "none"}:
        if request.ipv4 or request.ipv6:
            raise _invalid(
                network, "user specified IP address is supported on user defined networks only"
            )
        if request.aliases:
            raise _invalid(
                network,
                "network-scoped alias is supported only for containers in user defined networks",
            )
    return request


def endpoint_answer(container: Container, endpoint: Endpoint, version: Version) -> Json:
    """Return an endpoint as inspect gives it; while it is not joined its addresses are empty."""
    asked = endpoint.request
    v4, v6 = (_of_family(endpoint.addresses, family) for family in (4, 6))
    aliases = list(asked.aliases)
    if version < (1, 45) and endpoint.network_name not in PREDEFINED:
        aliases.append(container.short_id)
    return {
        "IPAMConfig": _ipam_config(asked),
        "Links": or_null(asked.links),
        "Aliases": aliases or None,
        "MacAddress": endpoint.mac,
        "DriverOpts": text_map(asked.driver_options) or None,
        "GwPriority": asked.gateway_priority,
        "NetworkID": endpoint.network_id,
        "EndpointID": endpoint.id if endpoint.joined and container.state.running else "",
        "Gateway": _gateway(endpoint.gateways, 4),
        "IPAddress": str(v4.ip) if v4 else "",
        "IPPrefixLen": v4.network.prefixlen if v4 else 0,
        "IPv6Gateway": _gateway(endpoint.gateways, 6),
        "GlobalIPv6Address": str(v6.ip) if v6 else "",
        "GlobalIPv6PrefixLen": v6.network.prefixlen if v6 else 0,
        "DNSNames": dns_names(container, endpoint),
    }


def dns_names(container: Container, endpoint: Endpoint) -> list[str] | None:
    """Return the names that resolve to the container on the network; null where none do."""
    if endpoint.network_name in {"host", "none"}:
        return None
    names = [container.name, *endpoint.request.aliases, container.short_id]
    if container.config.hostname:
        names.append(container.config.hostname)
    return list(dict.fromkeys(names))


def member_answer(container: Container, endpoint: Endpoint) -> Json:
    """Return a container as a network's inspect lists it."""
    v4, v6 = (_of_family(endpoint.addresses, family) for family in (4, 6))
    return {
        "Name": container.name,
        "EndpointID": endpoint.id,
        "MacAddress": endpoint.mac,
        "IPv4Address": str(v4) if v4 else "",
        "IPv6Address": str(v6) if v6 else "",
    }


def _ipam_config(asked: EndpointRequest) -> Json | None:
    config: Json = {}
    if asked.ipv4:
        config["IPv4Address"] = str(asked.ipv4)
    if asked.ipv6:
        config["IPv6Address"] = str(asked.ipv6)
    return config or None


def _of_family(addresses: tuple[Interface, ...], version: int) -> Interface | None:
    return next((each for each in addresses if each.version == version), None)


def _gateway(gateways: tuple[Address, ...], version: int) -> str:
    return next((str(each) for each in gateways if each.version == version), "")


def _address(network: str, text: str | None, family: type[_Family]) -> _Family | None:
    if not text:
        return None
    word = "IPv4" if family is IPv4Address else "IPv6"
    try:
        address = ip_address(text)
    except ValueError as error:
        raise _invalid(network, f"invalid {word} address: {text}") from error
    if not isinstance(address, family) or getattr(address, "scope_id", None):
        raise _invalid(network, f"invalid {word} address: {text}")
    return address


def _invalid(network: str, problem: str) -> InvalidError:
    return InvalidError(
        f"invalid config for network {network}: invalid endpoint settings: {problem}"
    )
