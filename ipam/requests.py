"""Read subnet requests, collecting every mistake instead of stopping at the first."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network

from ipam.prefixes import Address, Prefix, covers, overlap, parsed_address, parsed_prefix
from ipam.subnets import GATEWAY_OVERRIDES, SubnetRequest, reserved

_SPECIAL: Mapping[Prefix, str] = {
    IPv4Network("127.0.0.0/8"): "loopback",
    IPv4Network("224.0.0.0/4"): "multicast",
    IPv6Network("::1/128"): "loopback",
    IPv6Network("ff00::/8"): "multicast",
}


@dataclass(frozen=True, slots=True)
class Wish:
    """A request that was understood."""

    prefix: Prefix
    gateway: Address | None = None
    ip_range: Prefix | None = None
    auxiliary: Mapping[str, Address] = field(default_factory=dict)

    @property
    def any_of_size(self) -> bool:
        """Whether the prefix only tells a size: 0.0.0.0/26, ::/80."""
        return int(self.prefix.network_address) == 0


def understood(request: SubnetRequest, problems: list[str]) -> Wish | None:
    """Return what is asked for, adding a sentence to `problems` for each mistake.

    None: nothing is asked for (all is empty), or the subnet itself could not be read.
    """
    if not request.subnet:
        problems.extend(_without_subnet(request, "without a subnet"))
        return None
    prefix = _prefix("subnet", request.subnet, problems)
    if prefix is None:
        _parts(request, None, problems)
        return None
    if Wish(prefix).any_of_size:
        of_size = f"without a subnet: {prefix} asks for any of this size"
        problems.extend(_without_subnet(request, of_size))
        return Wish(prefix)
    problems.extend(
        f"subnet {prefix} reaches into {special}, which is for {use}"
        for special, use in _SPECIAL.items()
        if overlap(prefix, special)
    )
    return _parts(request, prefix, problems)


def _without_subnet(request: SubnetRequest, why: str) -> list[str]:
    given = {"gateway": request.gateway, "ip range": request.ip_range}
    given |= {f"auxiliary address {name}": text for name, text in request.auxiliary.items()}
    return [f"{what} {text} is given {why}" for what, text in given.items() if text]


def _parts(request: SubnetRequest, prefix: Prefix | None, problems: list[str]) -> Wish | None:
    gateway = ip_range = None
    if request.gateway:
        gateway = _address("gateway", request.gateway, prefix, problems)
    if request.ip_range:
        ip_range = _range(request.ip_range, prefix, problems)
    auxiliary = _auxiliary(request.auxiliary, gateway, prefix, problems)
    return Wish(prefix, gateway, ip_range, auxiliary) if prefix is not None else None


def _auxiliary(
    texts: Mapping[str, str], gateway: Address | None, prefix: Prefix | None, problems: list[str]
) -> dict[str, Address]:
    named: dict[str, Address] = {}
    names: dict[Address, str] = {}
    for name, text in texts.items():
        what = f"auxiliary address {name}"
        address = _address(what, text, prefix, problems)
        if address is None:
            continue
        if address in names:
            problems.append(f"{what} {address} is also auxiliary address {names[address]}")
        if address == gateway and name not in GATEWAY_OVERRIDES:
            problems.append(f"{what} {address} is also the gateway")
        names[address] = name
        named[name] = address
    return named


def _prefix(what: str, text: str, problems: list[str]) -> Prefix | None:
    result = parsed_prefix(text)
    if result is None:
        problems.append(f"{what} {text!r} is no prefix such as 10.1.0.0/24 or fd00:1::/64")
        return None
    prefix, exact = result
    if not exact:
        problems.append(f"{what} {text} has host bits set: {prefix} was meant")
    return prefix


def _address(what: str, text: str, prefix: Prefix | None, problems: list[str]) -> Address | None:
    address = parsed_address(text)
    if address is None:
        problems.append(f"{what} {text!r} is no address such as 10.1.0.1 or fd00:1::1")
    if address is None or prefix is None:
        return address
    if address.version != prefix.version:
        problems.append(f"{what} {address} {_family_clash(address, prefix)}")
    elif address not in prefix:
        problems.append(f"{what} {address} is outside subnet {prefix}")
    elif int(address) in reserved(prefix):
        problems.append(f"{what} {address} is {reserved(prefix)[int(address)]} of {prefix}")
    return address


def _range(text: str, prefix: Prefix | None, problems: list[str]) -> Prefix | None:
    ip_range = _prefix("ip range", text, problems)
    if ip_range is None or prefix is None:
        return ip_range
    if ip_range.version != prefix.version:
        problems.append(f"ip range {ip_range} {_family_clash(ip_range, prefix)}")
    elif not covers(prefix, ip_range):
        problems.append(f"ip range {ip_range} is outside subnet {prefix}")
    return ip_range


def _family_clash(one: Address | Prefix, prefix: Prefix) -> str:
    return f"is IPv{one.version}, but subnet {prefix} is IPv{prefix.version}"
