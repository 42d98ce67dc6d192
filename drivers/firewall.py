"""What the firewall should be: a pure function from networks to rules.

Nothing here touches the kernel; `drivers.iptables` compares a `Ruleset` with what is live. One loop
serves both families. A forwarded packet takes this road:

    FORWARD -> NETD-FORWARD -> NETD-USER   the user's own rules, never changed by netd
                 answers to what was allowed: accept
                 from a bridge to itself: accept, or drop where icc is off
                 out of or into an internal network: drop
                 into a network: drop (this also keeps networks apart)
                 out of a network into another daemon's: drop
                 out of a network: accept

Chains of the built-in tables keep their policy; packets that are not of netd's bridges run through.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Network

from drivers.contract import Address, DriverError, Network, Prefix
from drivers.options import BRIDGES, bridge_name, bridge_options

FAMILIES = (4, 6)
PREFIX = "NETD"  # netd's chains, and nobody else's, begin so
FORWARD = "NETD-FORWARD"
POSTROUTING = "NETD-POSTROUTING"
OUTPUT = "NETD-OUTPUT"
USER = "NETD-USER"

UNIQUE_LOCAL = IPv6Network("fc00::/7")  # RFC 4193


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; an interface with a leading `!` means every other one, a trailing `+` all such."""

    comment: str
    jump: str  # ACCEPT, DROP, MASQUERADE, SNAT, DNAT or a chain
    source: Prefix | None = None
    destination: Prefix | None = None
    inbound: str = ""
    outbound: str = ""
    protocol: str = ""  # udp, tcp, icmp, ipv6-icmp
    source_port: int | None = None
    destination_port: int | None = None
    states: str = ""  # connection tracking: RELATED,ESTABLISHED
    to: str = ""  # what SNAT and DNAT put in: an address, or address:port

    def text(self, chain: str) -> str:
        """Return the rule as iptables-save(8) writes it."""
        return " ".join(("-A", chain, *self._words()))

    def _words(self) -> Iterator[str]:
        for flag, value in (
            ("-s", self.source),
            ("-d", self.destination),
            ("-i", self.inbound),
            ("-o", self.outbound),
            ("-p", self.protocol),
            ("-m", self.protocol if self.source_port or self.destination_port else ""),
            ("--sport", self.source_port),
            ("--dport", self.destination_port),
            ("-m conntrack --ctstate", self.states),
            ("-m comment --comment", f'"{self.comment}"'),
            ("-j", self.jump),
            ("--to-destination" if self.jump == "DNAT" else "--to-source", self.to),
        ):
            if value:
                text = str(value)
                yield f"{'! ' * text.startswith('!')}{flag} {text.removeprefix('!')}"


@dataclass(frozen=True, slots=True)
class Table:
    """netd's part of one of the kernel's tables."""

    family: int  # 4 or 6
    name: str  # filter, nat
    chains: Mapping[str, tuple[Rule, ...] | None]  # absent rules: the user's, only made
    jumps: Mapping[str, Rule]  # by built-in chain; inserted as its first rule
    owner: str | None = ""  # whose chains of the table these are, see `ruleset`; None: everybody's

    def text(self) -> str:
        """Return the table as iptables-save(8) writes it, built-in chains left out."""
        rules = [rule.text(chain) for chain, rule in self.jumps.items()]
        rules += [r.text(chain) for chain, rules in self.chains.items() for r in rules or ()]
        heads = [f":{chain} - [0:0]" for chain in self.chains]
        return "\n".join((f"*{self.name}", *heads, *rules, "COMMIT"))


@dataclass(frozen=True, slots=True)
class Ruleset:
    """All the rules netd wants in one network namespace; a table without chains wants none."""

    tables: tuple[Table, ...]

    def text(self) -> str:
        """Return everything as text, to be read and compared."""
        return "".join(f"# IPv{table.family}\n{table.text()}\n" for table in self.tables)


@dataclass(frozen=True, slots=True)
class FirewallNetwork:
    """What the firewall must know of a network."""

    bridge: str
    prefixes: tuple[Prefix, ...]
    internal: bool
    icc: bool
    masquerade: bool
    name: str
    routed: frozenset[int] = frozenset()  # families: no masquerade, ICMP is let in
    unprotected: frozenset[int] = frozenset()  # families: everything is let in
    sources: Mapping[int, Address] = field(default_factory=dict)  # by family: SNAT to it

    def of(self, family: int) -> tuple[Prefix, ...]:
        """Return its prefixes of a family."""
        return tuple(prefix for prefix in self.prefixes if prefix.version == family)


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
    )


def ruleset(networks: Sequence[FirewallNetwork], owner: str = "") -> Ruleset:
    """Return all rules for a host with these networks, the same for every order of them.

    Daemons side by side on one host have chains of their own: `owner` is six hexadecimal digits
    that end their names, nothing for the daemon of the host.
    """
    tables = []
    for family in FAMILIES:
        # A bridge without IPv6 has it switched off in the kernel; IPv4 has no such switch.
        of = sorted((n for n in networks if family == 4 or n.of(6)), key=lambda n: n.bridge)
        tables += [_filter(family, of, owner), _nat(family, of, owner)]
    return Ruleset(tuple(tables))


def resolver_ruleset(address: IPv4Address, port: int) -> Ruleset:
    """Return the rules for a sandbox whose DNS service listens on a port of an address."""
    here, there = IPv4Network(address), f"{address}:{port}"
    question = "netd: questions to the DNS service"
    answer = "netd: answers of the DNS service"
    chains = {
        OUTPUT: tuple(
            Rule(question, "DNAT", None, here, protocol=p, destination_port=53, to=there)
            for p in ("udp", "tcp")
        ),
        POSTROUTING: tuple(
            Rule(answer, "SNAT", here, protocol=p, source_port=port, to=f"{address}:53")
            for p in ("udp", "tcp")
        ),
    }
    jumps = {
        "OUTPUT": Rule(question, OUTPUT, destination=here),
        "POSTROUTING": Rule(answer, POSTROUTING, source=here),
    }
    return Ruleset((Table(4, "nat", chains, jumps),))


def owner_of(chain: str) -> str | None:
    """Return whose chain it is by its name; None: not netd's."""
    found = re.fullmatch(rf"{PREFIX}.*?(?:-([0-9a-f]{{6}}))?", chain)
    return (found[1] or "") if found else None


def _filter(family: int, networks: Sequence[FirewallNetwork], owner: str) -> Table:
    if not networks:
        return Table(family, "filter", {}, {}, owner)
    closed = [n for n in networks if n.internal or not n.of(family)]
    open_ = [n for n in networks if n not in closed]
    rules = [
        Rule("netd: your own rules come first", USER),
        *_answers(networks),
        *(rule for n in networks for rule in _among_themselves(n)),
        *(rule for n in closed for rule in _closed(n)),
        *(rule for n in open_ for rule in _into(n, family)),
        *(_apart(n) for n in open_),
        *(Rule(_said(n, "way out"), "ACCEPT", inbound=n.bridge) for n in open_),
    ]
    chain = _named(FORWARD, owner)
    jump = Rule("netd: what is forwarded", chain)
    chains = {chain: tuple(rules), USER: None}
    return Table(family, "filter", chains, {"FORWARD": jump}, owner)


def _named(chain: str, owner: str) -> str:
    return f"{chain}-{owner}" if owner else chain


def _apart(network: FirewallNetwork) -> Rule:
    # The networks of this daemon are closed to it already; another daemon's rules may come later.
    comment = _said(network, "apart from the networks of other daemons")
    return Rule(comment, "DROP", inbound=network.bridge, outbound=f"{BRIDGES}+")


def _answers(networks: Sequence[FirewallNetwork]) -> Iterator[Rule]:
    # One pattern for all bridges that netd named: established flows pass a handful of rules,
    # however many networks there are.
    ours = {f"{BRIDGES}+" if n.bridge.startswith(BRIDGES) else n.bridge for n in networks}
    for bridge in sorted(ours):
        for side in ("inbound", "outbound"):
            yield Rule(
                "netd: answers to what was allowed",
                "ACCEPT",
                states="RELATED,ESTABLISHED",
                **{side: bridge},  # type: ignore[arg-type]
            )


def _among_themselves(network: FirewallNetwork) -> Iterator[Rule]:
    # Where bridged packets are shown to iptables (br_netfilter) they come here too.
    verdict = ("ACCEPT", "among themselves") if network.icc else ("DROP", "kept apart, icc is off")
    comment = _said(network, verdict[1])
    yield Rule(comment, verdict[0], inbound=network.bridge, outbound=network.bridge)


def _closed(network: FirewallNetwork) -> Iterator[Rule]:
    comment = _said(network, "internal" if network.internal else "not of this family")
    yield Rule(f"{comment}, no way out", "DROP", inbound=network.bridge)
    yield Rule(f"{comment}, no way in", "DROP", outbound=network.bridge)


def _into(network: FirewallNetwork, family: int) -> Iterator[Rule]:
    if family in network.unprotected:
        yield Rule(_said(network, "unprotected"), "ACCEPT", outbound=network.bridge)
        return
    if family in network.routed:
        protocol = "icmp" if family == 4 else "ipv6-icmp"
        comment = _said(network, "routed, may be pinged")
        yield Rule(comment, "ACCEPT", outbound=network.bridge, protocol=protocol)
    yield Rule(_said(network, "no way in from elsewhere"), "DROP", outbound=network.bridge)


def _nat(family: int, networks: Sequence[FirewallNetwork], owner: str) -> Table:
    rules = tuple(rule for n in networks for rule in _leaving(n, family))
    if not rules:
        return Table(family, "nat", {}, {}, owner)
    chain = _named(POSTROUTING, owner)
    jump = Rule("netd: what leaves its networks", chain)
    return Table(family, "nat", {chain: rules}, {"POSTROUTING": jump}, owner)


def _leaving(network: FirewallNetwork, family: int) -> Iterator[Rule]:
    if network.internal or not network.masquerade or family in network.routed:
        return
    source = network.sources.get(family)
    comment = _said(network, "goes out as the host")
    for prefix in network.of(family):
        elsewhere = f"!{network.bridge}"
        if source:
            yield Rule(comment, "SNAT", prefix, outbound=elsewhere, to=str(source))
        elif prefix.version == 4 or prefix.subnet_of(UNIQUE_LOCAL):
            yield Rule(comment, "MASQUERADE", prefix, outbound=elsewhere)


def _said(network: FirewallNetwork, reason: str) -> str:
    # Quotes and control characters would need escapes; the kernel keeps 255 octets.
    plain = "".join(
        c if c.isascii() and c.isprintable() and c not in "\"\\'" else "?"
        for c in network.name[:180]
    )
    return f"netd {plain}: {reason}"
