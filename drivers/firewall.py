"""What the firewall must know, and what it is: values, words, and the verbs of its two kinds.

The rules are a pure function of a `FirewallState` and nothing else: `drivers.iptables_rules` and
`drivers.nft_rules` compute them, `drivers.iptables_firewall` and `drivers.nft_firewall` compare
them with what is live. Both say the same of a packet that is forwarded:

    the user's own rules, never changed by netd
    answers to what was allowed: accept
    out of or into an internal network: drop
    to a published port: accept
    from a bridge to itself: accept, or drop where icc is off
    into a network: drop (this also keeps networks apart)
    out of a network: accept
    between others: drop, if the host forwards only since netd asked it to
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from drivers.contract import Address, DriverError, Interface, Network, Prefix
from drivers.options import bridge_name, bridge_options

FAMILIES = (4, 6)
TRANSPORTS = ("tcp", "udp", "sctp")
LONGEST_NAME = 60  # nf_tables keeps 128 octets of a comment


@dataclass(frozen=True, slots=True)
class FirewallNetwork:
    """What the firewall must know of a network."""

    bridge: str
    prefixes: tuple[Prefix, ...]
    internal: bool
    icc: bool
    masquerade: bool
    name: str
    routed: frozenset[int] = frozenset()  # families: no NAT; ICMP and published ports are let in
    unprotected: frozenset[int] = frozenset()  # families: everything is let in
    sources: Mapping[int, Address] = field(default_factory=dict)  # by family: SNAT to it
    id: str = ""  # 64 hex digits

    def of(self, family: int) -> tuple[Prefix, ...]:
        """Return its prefixes of a family."""
        return tuple(prefix for prefix in self.prefixes if prefix.version == family)


@dataclass(frozen=True, slots=True)
class Publication:
    """Ports of a container that are reached from elsewhere, a run that shifts together."""

    network: str  # names, for the comment
    container: str
    protocol: str  # tcp, udp, sctp
    address: Address  # the container's
    port: int  # the container's, the first
    host_address: Address  # the unspecified one: every address of the host
    host_port: int  # the first; zero: not on the host, the container's own address is open
    count: int = 1


@dataclass(frozen=True, slots=True)
class BridgePort:
    """The host's end of a container's interface, and who may speak there."""

    host_interface: str
    mac: str
    addresses: tuple[Interface, ...]
    network: str
    container: str
    guarded: bool = True  # by rules; absent that, only its flows are forgotten with it


@dataclass(frozen=True, slots=True)
class FirewallState:
    """All that the rules are computed from."""

    networks: tuple[FirewallNetwork, ...] = ()
    published: Mapping[str, tuple[Publication, ...]] = field(default_factory=dict)  # by container
    ports: tuple[BridgePort, ...] = ()
    # Families that the host forwards only because netd turned it on: not for others.
    not_a_router: frozenset[int] = frozenset()

    def publications(self, family: int) -> Iterator[Publication]:
        """Iterate over the published ports of a family."""
        for group in self.published.values():
            yield from (each for each in group if each.address.version == family)


@dataclass(frozen=True, slots=True)
class LiveRule:
    """A rule or a set's element as the kernel has it now."""

    place: str  # "iptables filter NETD-FORWARD", "inet netd forward"
    comment: str
    raw: str  # as iptables-save(8) or nft(8) writes it
    packets: int | None  # absent: it has no counter
    bytes: int | None


class Firewall(Protocol):
    """One kind of firewall; all verbs run in the network thread, in its network namespace."""

    def problem(self) -> str | None:
        """Return why this machine cannot have it, in a sentence; None: it can."""

    def apply(self, state: FirewallState) -> None:
        """Make netd's rules those of the state; what was applied before is not looked at again."""

    def looks_changed(self) -> bool:
        """Return whether somebody may have changed netd's rules; takes microseconds."""

    def repair(self) -> Sequence[str]:
        """Compare with the kernel what was applied last, put it right; return what was lost."""

    def rules(self) -> Sequence[LiveRule]:
        """Return netd's rules with their counters, in the order in which packets meet them."""

    def clear(self) -> None:
        """Remove all rules of this daemon; the user's own chain stays while it is in use."""


def firewall_network(network: Network) -> FirewallNetwork:
    """Return what the firewall must know of a bridge network; DriverError if it makes no sense."""
    options, problems = bridge_options(network.options)
    if problems:
        raise DriverError("; ".join(problems))
    return FirewallNetwork(
        bridge=bridge_name(network),
        prefixes=tuple(subnet.prefix for subnet in network.subnets),
        internal=network.internal,
        icc=options.icc,
        masquerade=options.masquerade,
        name=network.name,
        routed=frozenset(n for n in FAMILIES if options.modes[n] == "routed"),
        unprotected=frozenset(n for n in FAMILIES if options.modes[n] == "nat-unprotected"),
        sources=options.sources,
        id=network.id,
    )


def ordered(state: FirewallState) -> list[FirewallNetwork]:
    """Return the networks in an order that does not depend on how they came."""
    return sorted(state.networks, key=lambda network: network.bridge)


def said(name: str, reason: str) -> str:
    """Return the comment of a rule: whose it is, and why it is there."""
    # Quotes and control characters would need escapes.
    plain = "".join(
        c if c.isascii() and c.isprintable() and c not in "\"\\'" else "?"
        for c in name[:LONGEST_NAME]
    )
    return f"netd {plain}: {reason}"


def said_of(publication: Publication) -> str:
    """Return the comment of a published port: `netd front: web 8080->80/tcp`."""
    last = publication.count - 1
    inside = _run(publication.port, last)
    outside = f"{_run(publication.host_port, last)}->" if publication.host_port else ""
    name = publication.container[:LONGEST_NAME]
    return said(publication.network[:30], f"{name} {outside}{inside}/{publication.protocol}")


def _run(first: int, further: int) -> str:
    return f"{first}-{first + further}" if further else str(first)
