"""What iptables' tables should hold: a pure function from the firewall's state to rules.

One loop serves both families. Chains of the built-in tables keep their policy; packets that are
not of netd's bridges run through.

    raw     PREROUTING  -> NETD-PREROUTING   not what only this host may say; no direct access
    nat     PREROUTING  -> NETD-DNAT         to this host's addresses: published ports
            OUTPUT      -> NETD-DNAT         likewise of the host's own processes
            POSTROUTING -> NETD-POSTROUTING  what leaves networks goes out as the host
    filter  FORWARD     -> NETD-FORWARD      see `drivers.firewall`
            FORWARD (last) -> NETD-STRANGERS only where netd turned forwarding on
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network

from drivers.contract import Prefix
from drivers.firewall import (
    FAMILIES,
    FirewallNetwork,
    FirewallState,
    Publication,
    ordered,
    said,
    said_of,
)
from drivers.options import BRIDGES
from drivers.rules import PREFIX, Rule, Ruleset, Table

FORWARD = "NETD-FORWARD"
STRANGERS = "NETD-STRANGERS"
PREROUTING = "NETD-PREROUTING"
POSTROUTING = "NETD-POSTROUTING"
DNAT = "NETD-DNAT"
OUTPUT = "NETD-OUTPUT"
USER = "NETD-USER"

LOOPBACK: Mapping[int, Prefix] = {4: IPv4Network("127.0.0.0/8"), 6: IPv6Network("::1/128")}
LINK_LOCAL = IPv6Network("fe80::/10")
UNIQUE_LOCAL = IPv6Network("fc00::/7")  # RFC 4193
OURS = f"{BRIDGES}+"  # every bridge that netd named, of any daemon
ICMP = {4: "icmp", 6: "ipv6-icmp"}


def ruleset(state: FirewallState, owner: str = "") -> Ruleset:
    """Return all rules for a host in this state, the same for every order of its parts.

    Daemons side by side on one host have chains of their own: `owner` is six hexadecimal digits
    that end their names, nothing for the daemon of the host.
    """
    tables = []
    for family in FAMILIES:
        # A bridge without IPv6 has it switched off in the kernel; IPv4 has no such switch.
        of = [network for network in ordered(state) if family == 4 or network.of(6)]
        tables += [
            _raw(family, of, owner),
            _filter(family, of, state, owner),
            _nat(family, of, state, owner),
        ]
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


def masqueraded(network: FirewallNetwork, prefix: Prefix) -> bool:
    """Return whether what leaves the network with this source goes out with another one."""
    family = prefix.version
    if network.internal or not network.masquerade or family in network.routed:
        return False
    return family in network.sources or prefix.version == 4 or prefix.subnet_of(UNIQUE_LOCAL)


def _raw(family: int, networks: Sequence[FirewallNetwork], owner: str) -> Table:
    # Here packets still have the destination they came with: after DNAT, and behind somebody
    # else's rule that accepts, direct access could not be told from a published port.
    rules = [rule for n in networks for rule in _direct(n, family)]
    if family == 4 and networks:
        comment = "netd: loopback addresses belong to this host alone"
        rules.insert(0, Rule(comment, "DROP", None, LOOPBACK[4], inbound="!lo"))
    if not rules:
        return Table(family, "raw", {}, {}, owner)
    chain = _named(PREROUTING, owner)
    jump = Rule("netd: what comes in", chain)
    return Table(family, "raw", {chain: tuple(rules)}, {"PREROUTING": jump}, owner)


def _direct(network: FirewallNetwork, family: int) -> Iterator[Rule]:
    if family in network.unprotected:
        return
    comment = said(network.name, "not directly from elsewhere")
    for prefix in network.of(family):
        # Where answers come back to the containers' own addresses they cannot be told from it.
        if masqueraded(network, prefix):
            where = {"inbound": f"!{network.bridge}", "destination_type": "!LOCAL"}
            yield Rule(comment, "DROP", None, prefix, **where)  # type: ignore[arg-type]


def _filter(
    family: int, networks: Sequence[FirewallNetwork], state: FirewallState, owner: str
) -> Table:
    if not networks:
        return Table(family, "filter", {}, {}, owner)
    closed = [n for n in networks if n.internal or not n.of(family)]
    open_ = [n for n in networks if n not in closed]
    own = _bridges(networks)
    rules = [
        Rule("netd: your own rules come first", USER),
        *_answers(own),
        *(rule for n in closed for rule in _closed(n)),
        *_to_published(_bridges(open_)),
        *(_among_themselves(n) for n in open_),
        *_opened(state, family),
        *(rule for n in open_ for rule in _into(n, family)),
        *(_apart(n) for n in open_),
        *(Rule(said(n.name, "way out"), "ACCEPT", inbound=n.bridge) for n in open_),
    ]
    chain, strangers = _named(FORWARD, owner), _named(STRANGERS, owner)
    chains = {chain: tuple(rules), USER: None}
    jumps = {"FORWARD": Rule("netd: what is forwarded", chain)}
    last = {}
    if family in state.not_a_router:
        chains[strangers] = tuple(_strangers(own))
        last = {"FORWARD": Rule("netd: what nobody has accepted", strangers)}
    return Table(family, "filter", chains, jumps, owner, last)


def _named(chain: str, owner: str) -> str:
    return f"{chain}-{owner}" if owner else chain


def _bridges(networks: Sequence[FirewallNetwork]) -> list[str]:
    # One pattern for all bridges that netd named: a handful of rules, however many there are.
    return sorted({OURS if n.bridge.startswith(BRIDGES) else n.bridge for n in networks})


def _answers(bridges: Sequence[str]) -> Iterator[Rule]:
    answer = partial(
        Rule, "netd: answers to what was allowed", "ACCEPT", states="RELATED,ESTABLISHED"
    )
    for bridge in bridges:
        yield answer(inbound=bridge)
        yield answer(outbound=bridge)


def _closed(network: FirewallNetwork) -> Iterator[Rule]:
    yield _among_themselves(network)
    comment = said(network.name, "internal" if network.internal else "not of this family")
    yield Rule(f"{comment}, no way out", "DROP", inbound=network.bridge)
    yield Rule(f"{comment}, no way in", "DROP", outbound=network.bridge)


def _to_published(bridges: Sequence[str]) -> Iterator[Rule]:
    # Which ports these are, the nat table says: only what it has led there comes so.
    for bridge in bridges:
        yield Rule("netd: to published ports", "ACCEPT", outbound=bridge, states="DNAT")


def _among_themselves(network: FirewallNetwork) -> Rule:
    # Where bridged packets are shown to iptables (br_netfilter) they come here too.
    verdict = ("ACCEPT", "among themselves") if network.icc else ("DROP", "kept apart, icc is off")
    comment = said(network.name, verdict[1])
    return Rule(comment, verdict[0], inbound=network.bridge, outbound=network.bridge)


def _opened(state: FirewallState, family: int) -> Iterator[Rule]:
    for each in sorted(state.publications(family), key=_order):
        if not each.host_port:
            yield Rule(
                said_of(each),
                "ACCEPT",
                destination=ip_network(each.address),
                protocol=each.protocol,
                destination_port=each.port,
                destination_last=_last(each.port, each),
            )


def _into(network: FirewallNetwork, family: int) -> Iterator[Rule]:
    if family in network.unprotected:
        yield Rule(said(network.name, "unprotected"), "ACCEPT", outbound=network.bridge)
        return
    if family in network.routed:
        comment = said(network.name, "routed, may be pinged")
        yield Rule(comment, "ACCEPT", outbound=network.bridge, protocol=ICMP[family])
    comment = said(network.name, "no way in from elsewhere")
    yield Rule(comment, "DROP", outbound=network.bridge)


def _apart(network: FirewallNetwork) -> Rule:
    # The networks of this daemon are closed to it already; another daemon's rules may come later.
    comment = said(network.name, "apart from the networks of other daemons")
    return Rule(comment, "DROP", inbound=network.bridge, outbound=OURS)


def _strangers(bridges: Sequence[str]) -> Iterator[Rule]:
    for bridge in sorted({*bridges, OURS}):
        yield Rule("netd: of networks of netd", "RETURN", inbound=bridge)
        yield Rule("netd: of networks of netd", "RETURN", outbound=bridge)
    yield Rule("netd: this host was no router before netd turned forwarding on", "DROP")


def _nat(
    family: int, networks: Sequence[FirewallNetwork], state: FirewallState, owner: str
) -> Table:
    of_host = [each for each in state.publications(family) if each.host_port]
    leaving = tuple(rule for n in networks for rule in _leaving(n, family))
    open_ = [n for n in networks if not n.internal and n.of(family)]
    chains, jumps = {}, {}
    if open_ or of_host:
        local = partial(_local, family)
        leaving = (*(local(bridge) for bridge in _bridges(open_) if family == 4), *leaving)
        dnat = _named(DNAT, owner)
        chains[dnat] = (*_not_led(family), *(_led(each) for each in sorted(of_host, key=_order)))
        jump = Rule("netd: published ports", dnat, destination_type="LOCAL")
        jumps = {"PREROUTING": jump, "OUTPUT": jump}
    if leaving:
        chain = _named(POSTROUTING, owner)
        chains[chain] = leaving
        jumps["POSTROUTING"] = Rule("netd: what leaves its networks", chain)
    return Table(family, "nat", chains, jumps, owner)


def _not_led(family: int) -> Iterator[Rule]:
    # The kernel does not route these sources; the process that holds the ports relays for them.
    if family == 6:
        for source in (LOOPBACK[6], LINK_LOCAL):
            yield Rule("netd: relayed, these sources cannot be routed", "RETURN", source)


def _led(each: Publication) -> Rule:
    address = f"[{each.address}]" if each.address.version == 6 else str(each.address)
    to = f"{address}:{each.port}"
    if each.count > 1:
        shifted = each.port != each.host_port
        run = f"{each.port}-{each.port + each.count - 1}/{each.host_port}"
        to = f"{address}:{run}" if shifted else str(each.address)
    return Rule(
        said_of(each),
        "DNAT",
        destination=None if each.host_address.is_unspecified else ip_network(each.host_address),
        protocol=each.protocol,
        destination_port=each.host_port,
        destination_last=_last(each.host_port, each),
        to=to,
    )


def _last(first: int, each: Publication) -> int | None:
    return first + each.count - 1 if each.count > 1 else None


def _order(each: Publication) -> tuple[object, ...]:
    return (each.host_address, each.protocol, each.host_port, each.address, each.port)


def _local(family: int, bridge: str) -> Rule:
    comment = "netd: loopback of the host to published ports"
    return Rule(comment, "MASQUERADE", LOOPBACK[family], outbound=bridge)


def _leaving(network: FirewallNetwork, family: int) -> Iterator[Rule]:
    if network.internal:
        return
    for prefix in network.of(family):
        # The container would answer its neighbour directly, from an address that was not asked.
        comment = said(network.name, "neighbours to published ports")
        yield Rule(comment, "MASQUERADE", prefix, outbound=network.bridge, states="DNAT")
    source = network.sources.get(family)
    comment = said(network.name, "goes out as the host")
    for prefix in network.of(family):
        elsewhere = f"!{network.bridge}"
        if masqueraded(network, prefix):
            jump = "SNAT" if source else "MASQUERADE"
            yield Rule(comment, jump, prefix, outbound=elsewhere, to=str(source or ""))
