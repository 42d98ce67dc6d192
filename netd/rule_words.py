"""What a rule of netd's firewall does, in a sentence for people: texts by the rule's own reason.

The reasons are the comments of `drivers.iptables_rules`, `drivers.nft_rules` and
`drivers.spoofing`; a test shows that each of them has its sentence.
"""

from collections.abc import Mapping

from drivers.contract import Address
from drivers.firewall import BridgePort, FirewallNetwork, Publication

# What is there for all networks, by the whole comment. {chain}: where a jump leads.
FOR_ALL: Mapping[str, str] = {
    "netd: what comes in": "all that comes in runs through chain {chain}",
    "netd: loopback addresses belong to this host alone":
        "nobody else gets to this host's loopback addresses, 127.0.0.0/8",
    "netd: not directly from elsewhere":
        "nobody from elsewhere gets directly to addresses of the networks",
    "netd: published ports": "what is for this host itself is looked up among the ports below",
    "netd: relayed, these sources cannot be routed":
        "from ::1 and fe80::/10 netd relays: the kernel cannot route them",
    "netd: what is forwarded": "all that is forwarded runs through chain {chain}",
    "netd: your own rules come first": "your own rules come first, those of chain {chain}",
    "netd: answers to what was allowed": "answers to connections that were allowed before pass",
    "netd: to published ports": "what a published port has led to a container passes",
    "netd: what nobody has accepted": "what nobody has accepted runs through chain {chain}",
    "netd: of networks of netd": "what is of a network of netd has been judged already",
    "netd: this host was no router before netd turned forwarding on":
        "nothing passes between others: this host forwards for netd only",
    "netd: what leaves its networks": "all that goes out runs through chain {chain}",
    "netd: loopback of the host to published ports":
        "what 127.0.0.1 sends to containers carries the host's address",
    "netd: not with the MAC of another": "no container sends with the MAC of another",
    "netd: no VLAN tags, which would hide what is behind them":
        "no container sends VLAN tags, which hide what is behind them",
    "netd: no ARP for the MAC of another": "no container claims the MAC of another (ARP)",
    "netd: no ARP for the address of another":
        "no container claims the IPv4 address of another (ARP)",
    "netd: no DHCP offers": "no container gives addresses to others (DHCP)",
    "netd: no DHCPv6 offers": "no container gives addresses to others (DHCPv6)",
    "netd: not with the IPv4 address of another":
        "no container sends with the IPv4 address of another",
    "netd: no router advertisements, no redirects":
        "no container makes itself the router of others (ICMPv6)",
    "netd: no fragments of ICMPv6 but of pings":
        "no container fragments what it says of addresses (ICMPv6)",
    "netd: no neighbour advertisements for the address of another":
        "no container claims the IPv6 address of another (ICMPv6)",
    "netd: not with the IPv6 address of another":
        "no container sends with the IPv6 address of another",
}  # fmt: skip

# What a network has, by the reason in its comment.
OF_NETWORK: Mapping[str, str] = {
    "not directly from elsewhere":
        "nobody from elsewhere gets directly to addresses of network {name}",
    "internal, no way in": "nobody from elsewhere gets into network {name}: it is internal",
    "internal, no way out": "nothing gets out of network {name}: it is internal",
    "not of this family, no way in": "no IPv{family} gets into network {name}: it has none itself",
    "not of this family, no way out":
        "no IPv{family} gets out of network {name}: it has none itself",
    "to published ports": "what a published port has led into network {name} passes",
    "among themselves": "containers of network {name} reach each other",
    "kept apart, icc is off": "containers of network {name} are kept apart: icc is off",
    "routed, to published ports":
        "published ports of network {name} are reached at containers' own addresses",
    "routed, may be pinged": "containers of network {name} may be pinged: it is routed",
    "unprotected": "everybody gets into network {name}: it is unprotected",
    "no way in from elsewhere": "nobody from elsewhere gets into network {name}",
    "apart from the networks of other daemons":
        "network {name} is kept apart from those of other netd daemons",
    "way out": "what network {name} sends elsewhere passes",
    "neighbours to published ports":
        "who asks a neighbour's published port in network {name} carries {source}",
    "goes out as the host": "what leaves network {name} carries {source}",
}  # fmt: skip


def of_all(comment: str, *, chain: str, own: bool) -> str | None:
    """Return what a rule does that is there for all; None: netd has no such rule.

    `chain` is where it leads, if it jumps; `own` are packets of this host's own processes.
    """
    if own and comment == "netd: published ports":
        return "what this host sends itself is looked up among the ports below"
    text = FOR_ALL.get(comment)
    return text and text.format(chain=chain)


def of_network(network: FirewallNetwork, reason: str, family: int) -> str:
    """Return what a rule of a network does; KeyError: networks have no such rule.

    The family is that of the packets, where the rule is for one alone.
    """
    source = network.sources.get(family) if reason == "goes out as the host" else None
    return OF_NETWORK[reason].format(
        name=network.name,
        family=family,
        source=f"the address {source}" if source else "the host's address",
    )


def of_publication(each: Publication) -> str:
    """Return where published ports lead."""
    if not each.host_port:
        inside = _ports(each.protocol, each.port, each.count)
        return f"packets to {each.container}'s own {inside} ({each.address}) pass"
    outside = _ports(each.protocol, each.host_port, each.count)
    where = (
        f"this host's {outside}"
        if each.host_address.is_unspecified
        else f"{outside} of {each.host_address}"
    )
    to = f"{_bracketed(each.address)}:{_run(each.port, each.count)}"
    return f"packets to {where} go to {each.container} ({to})"


def of_port(port: BridgePort) -> str:
    """Return who may speak at a container's end of a bridge."""
    own = (*(str(each.ip) for each in port.addresses), f"MAC {port.mac}")
    return f"{port.container} sends only as {', '.join(own)}"


def _ports(protocol: str, first: int, count: int) -> str:
    return f"{protocol.upper()} port{'s' * (count > 1)} {_run(first, count)}"


def _run(first: int, count: int) -> str:
    return f"{first}-{first + count - 1}" if count > 1 else str(first)


def _bracketed(address: Address) -> str:
    return f"[{address}]" if address.version == 6 else str(address)
