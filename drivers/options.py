"""What the options of a bridge network say: Docker's labels, parsed once.

Options netd does not know are accepted, as Docker does; a value that cannot be meant is a problem.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address
from typing import Literal, TypeVar, get_args

from drivers.addressing import interface_name_problem
from drivers.contract import Address, Network

NETWORK = "com.docker.network."
BRIDGE = NETWORK + "bridge."
ANTI_SPOOFING = "netd.anti_spoofing"
TRUE = ("1", "t", "T", "true", "TRUE", "True")
BRIDGES = "nd-"  # how bridges begin that the user gave no name
PATTERNS = '!"*+\\'  # more than a name to iptables and nftables
FALSE = ("0", "f", "F", "false", "FALSE", "False")

Mode = Literal["nat", "nat-unprotected", "routed", "isolated"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BridgeOptions:
    """The options of a bridge network that have an effect, with Docker's defaults."""

    bridge: str = ""  # empty: named after the network's id
    icc: bool = True  # containers reach one another
    masquerade: bool = True
    modes: Mapping[int, Mode] = field(default_factory=lambda: {4: "nat", 6: "nat"})  # by family
    inhibit_ipv4: bool = False  # the bridge gets no IPv4 address
    mtu_bytes: int | None = None  # absent: the daemon's or the uplink's
    interface_prefix: str = "eth"
    sources: Mapping[int, Address] = field(default_factory=dict)  # by family; SNAT to it
    host_binding: Address | None = None  # where ports are published; absent: the daemon's default
    anti_spoofing: bool = True  # containers speak for nobody but themselves


def bridge_options(options: Mapping[str, str]) -> tuple[BridgeOptions, list[str]]:
    """Return what the options say and a sentence for each impossible value."""
    problems: list[str] = []

    def value(key: str, parsed: Callable[[str], T], default: T) -> T:
        if key not in options:
            return default
        try:
            return parsed(options[key])
        except ValueError as error:
            problems.append(f"option {key}={options[key]!r}: {error}")
            return default

    for key in (BRIDGE + "default_bridge", NETWORK + "enable_ipv4", NETWORK + "enable_ipv6"):
        value(key, _boolean, default=True)
    sources: dict[int, Address | None] = {
        4: value(NETWORK + "host_ipv4", _ipv4, None),
        6: value(NETWORK + "host_ipv6", _ipv6, None),
    }
    said = BridgeOptions(
        bridge=value(BRIDGE + "name", _interface, ""),
        icc=value(BRIDGE + "enable_icc", _boolean, default=True),
        masquerade=value(BRIDGE + "enable_ip_masquerade", _boolean, default=True),
        modes={n: value(f"{BRIDGE}gateway_mode_ipv{n}", _mode, "nat") for n in (4, 6)},
        inhibit_ipv4=value(BRIDGE + "inhibit_ipv4", _boolean, default=False),
        mtu_bytes=value(NETWORK + "driver.mtu", _mtu, None),
        interface_prefix=value(NETWORK + "container_iface_prefix", _prefix, "eth"),
        sources={family: source for family, source in sources.items() if source is not None},
        anti_spoofing=value(ANTI_SPOOFING, _boolean, default=True),
        # Docker's name is older than its IPv6: an address of either family is taken.
        host_binding=value(BRIDGE + "host_binding_ipv4", _address, None),
    )
    return said, problems


def bridge_name(network: Network) -> str:
    """Return the name of the network's bridge: as the user wishes, or nd- and 12 digits."""
    return bridge_options(network.options)[0].bridge or f"{BRIDGES}{network.id[:12]}"


def _boolean(text: str) -> bool:
    if text not in TRUE + FALSE:
        raise ValueError("must be true or false")
    return text in TRUE


def _mode(text: str) -> Mode:
    for mode in get_args(Mode):
        if text == mode:
            return mode  # type: ignore[no-any-return]
    raise ValueError(f"must be one of {', '.join(get_args(Mode))}")


def _mtu(text: str) -> int | None:
    if not text.isascii() or not text.isdigit():
        raise ValueError("must be a number of bytes")
    if int(text) == 0:  # Docker's word for "the default"
        return None
    if not 68 <= int(text) <= 65535:
        raise ValueError("must be between 68 and 65535")
    return int(text)


def _interface(text: str) -> str:
    if text and (problem := interface_name_problem(text)):
        raise ValueError(problem)
    if set(text) & set(PATTERNS):
        raise ValueError(f"must not contain any of {' '.join(PATTERNS)}: firewalls read them")
    return text


def _prefix(text: str) -> str:
    # Two digits of the 15 octets are left for the number.
    if problem := interface_name_problem(f"{text}00"):
        raise ValueError(f"makes no interface name with a number behind it: it {problem}")
    return text


def _address(text: str) -> Address | None:
    try:
        return ip_address(text) if text else None
    except ValueError:
        raise ValueError("must be an IPv4 or IPv6 address") from None


def _ipv4(text: str) -> IPv4Address | None:
    try:
        return IPv4Address(text) if text else None
    except AddressValueError:
        raise ValueError("must be an IPv4 address") from None


def _ipv6(text: str) -> IPv6Address | None:
    try:
        return IPv6Address(text) if text else None
    except AddressValueError:
        raise ValueError("must be an IPv6 address") from None
