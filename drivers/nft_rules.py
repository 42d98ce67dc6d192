"""What netd's table of nf_tables should hold: a pure function from the firewall's state to pieces.

    prerouting (raw)    not what only this host may say; no direct access
    prerouting, output  to this host's addresses: one look-up in the map of published ports
    forward             see `drivers.firewall`; a network is found by its bridge in a verdict map
    postrouting         what leaves a network goes out as the host

It comes in pieces: a network, a container's published ports, what is there once. So a change costs
what changes, whatever else there is.

Unlike in iptables nobody else's rule can accept what is dropped here, and nothing here accepts
what somebody else drops.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from ipaddress import IPv4Address

from drivers.firewall import (
    FAMILIES,
    FirewallNetwork,
    FirewallState,
    Publication,
    ordered,
    said,
    said_of,
)
from drivers.iptables_rules import masqueraded
from drivers.nft_blocks import Block, Piece
from drivers.options import BRIDGES

RESOLVER_TABLE = "netd"  # in a sandbox
USER = "user"  # the chain of the user's own rules
CHAINS_OF_NETWORKS = ("into", "closed", "leaving", "returning")  # with 12 digits of its id
NETWORK_LAYER = {4: "ip", 6: "ip6"}
ICMP = {4: "icmp", 6: "ipv6-icmp"}

BASE = """
add table inet {t}
add set inet {t} bridges {{ type ifname; comment "netd: bridges of its networks"; }}
add map inet {t} closed {{ type ifname : verdict; comment "netd: networks that have no way out"; }}
add map inet {t} into {{ type ifname : verdict; comment "netd: networks by their bridge"; }}
add map inet {t} out {{ type ifname : verdict; counter; comment "netd: networks with a way out"; }}
add map inet {t} leaving {{ type ifname : verdict; comment "netd: networks whose packets leave"; }}
add map inet {t} returning {{ type ifname : verdict; comment "netd: networks that get their own"; }}
add chain inet {t} user
add chain inet {t} raw {{ type filter hook prerouting priority raw; }}
add chain inet {t} prerouting {{ type nat hook prerouting priority dstnat; }}
add chain inet {t} output {{ type nat hook output priority -100; }}
add chain inet {t} forward {{ type filter hook forward priority filter; }}
add chain inet {t} postrouting {{ type nat hook postrouting priority srcnat; }}
add chain inet {t} published
add chain inet {t} strangers
add rule inet {t} raw ip daddr 127.0.0.0/8 iifname != "lo" counter drop comment \
"netd: loopback addresses belong to this host alone"
add rule inet {t} prerouting fib daddr type local counter jump published comment \
"netd: published ports"
add rule inet {t} output fib daddr type local counter jump published comment \
"netd: published ports"
add rule inet {t} published ip6 saddr {{ ::1, fe80::/10 }} counter return comment \
"netd: relayed, these sources cannot be routed"
add rule inet {t} forward counter jump user comment "netd: your own rules come first"
add rule inet {t} forward oifname @bridges ct state established,related counter accept comment \
"netd: answers to what was allowed"
add rule inet {t} forward iifname @bridges ct state established,related counter accept comment \
"netd: answers to what was allowed"
add rule inet {t} forward iifname vmap @closed
add rule inet {t} forward oifname vmap @into
add rule inet {t} forward iifname vmap @out
add rule inet {t} forward jump strangers
add rule inet {t} postrouting ip saddr 127.0.0.0/8 oifname @bridges counter masquerade comment \
"netd: loopback of the host to published ports"
add rule inet {t} postrouting oifname vmap @returning
add rule inet {t} postrouting iifname vmap @leaving
"""
BASE_OF_FAMILY = """
add map inet {t} published{f} {{ type {a} . inet_proto . inet_service : {a} . inet_service; \
counter; comment "netd: published ports of one address of the host"; }}
add map inet {t} published{f}_any {{ type inet_proto . inet_service : {a} . inet_service; \
counter; comment "netd: published ports of all addresses of the host"; }}
add set inet {t} opened{f} {{ type {a} . inet_proto . inet_service; counter; \
comment "netd: published ports of routed networks"; }}
add set inet {t} private{f} {{ typeof fib daddr oifname; \
comment "netd: bridges that nobody gets to directly from elsewhere"; }}
add rule inet {t} raw meta nfproto ipv{f} fib daddr oifname @private{f} \
fib daddr . iif oif missing counter drop comment "netd: not directly from elsewhere"
add rule inet {t} published dnat {n} to {n} daddr . meta l4proto . th dport map @published{f}
add rule inet {t} published meta nfproto ipv{f} dnat {n} to meta l4proto . th dport map \
@published{f}_any
"""


Pieces = Mapping[str, Piece]  # in the order of their making


def table_name(owner: str) -> str:
    """Return the name of a daemon's tables; the host's own has the plain one."""
    return f"netd-{owner}" if owner else "netd"


def pieces(state: FirewallState, owner: str = "") -> Pieces:
    """Return the rules for a host in this state, by what they are for."""
    table = table_name(owner)
    made = {"base": Piece(table, _base)}
    for network in ordered(state):
        name = f"network {network.id or network.bridge}"
        made[name] = Piece(network, partial(_network, table))
    for container, group in state.published.items():
        if group:
            published = partial(_published, table)
            republished = partial(_republished, table)
            made[f"published {container}"] = Piece(group, published, republished)
    if state.not_a_router:
        made["strangers"] = Piece(state.not_a_router, partial(_strangers, table))
    return made


def resolver_commands(address: IPv4Address, port: int, *, again: bool = False) -> str:
    """Return what leads to a DNS service of a sandbox that listens on a port of an address.

    `again`: in the place of what led there before.
    """
    table = f"ip {RESOLVER_TABLE}"
    return f"""
{f"delete table {table}" if again else ""}
add table {table}
add chain {table} output {{ type nat hook output priority -100; }}
add chain {table} postrouting {{ type nat hook postrouting priority srcnat; }}
add rule {table} output ip daddr {address} meta l4proto {{ tcp, udp }} th dport 53 \
dnat to {address}:{port} comment "netd: questions to the DNS service"
add rule {table} postrouting ip saddr {address} meta l4proto {{ tcp, udp }} th sport {port} \
snat to {address}:53 comment "netd: answers of the DNS service"
"""


def _base(table: str) -> Block:
    lines = BASE.format(t=table).strip().split("\n")
    for family in FAMILIES:
        names = {"t": table, "f": family, "n": NETWORK_LAYER[family], "a": f"ipv{family}_addr"}
        lines += BASE_OF_FAMILY.format(**names).strip().split("\n")
    return Block(tuple(lines), (f"delete table inet {table}",))


def _network(table: str, network: FirewallNetwork) -> Block:
    id_ = (network.id or network.bridge.encode().hex())[:12]
    rules = {
        "into": [*_into(network)],
        "closed": [*_closed(network)],
        "leaving": [*_leaving(network)],
        "returning": [*_returning(network)],
    }
    chains = {f"{name}-{id_}": found for name, found in rules.items() if found}
    bridge = f'"{network.bridge}"'
    elements = [f"bridges {{ {bridge} }}", *_kept_to_itself(network)]
    # Not goto: what one of these chains lets pass goes on to the next map, the other network's.
    elements += [f"{name} {{ {bridge} : jump {name}-{id_} }}" for name in rules if rules[name]]
    if not network.internal:
        comment = said(network.name, "way out")
        elements.append(f'out {{ {bridge} comment "{comment}" : accept }}')
    return Block(
        make=(
            *(f"add chain inet {table} {name}" for name in chains),
            *(f"add rule inet {table} {name} {rule}" for name in chains for rule in chains[name]),
            *(f"add element inet {table} {element}" for element in elements),
        ),
        unmake=(
            *(f"delete element inet {table} {element}" for element in elements),
            *(f"flush chain inet {table} {name}" for name in chains),
            *(f"delete chain inet {table} {name}" for name in chains),
        ),
    )


def _kept_to_itself(network: FirewallNetwork) -> Iterator[str]:
    # Where answers come back to the containers' own addresses they cannot be told from direct
    # access without connection tracking. Forwarding drops that, too; but who got through while
    # rules were missing had a connection from then on.
    for family in sorted({p.version for p in network.prefixes} - network.unprotected):
        if all(masqueraded(network, prefix) for prefix in network.of(family)):
            yield f'private{family} {{ "{network.bridge}" }}'


def _into(network: FirewallNetwork) -> Iterator[str]:
    bridge, has = f'iifname "{network.bridge}"', {p.version for p in network.prefixes}
    among = (
        _rule(bridge, "accept", said(network.name, "among themselves"))
        if network.icc
        else _rule(bridge, "drop", said(network.name, "kept apart, icc is off"))
    )
    if network.internal:
        yield among
        yield _rule("", "drop", said(network.name, "internal, no way in"))
        return
    for family in FAMILIES:
        if family not in has and network.prefixes:
            comment = said(network.name, "not of this family, no way in")
            yield _rule(f'{_of(family)} iifname != "{network.bridge}"', "drop", comment)
    yield _rule("ct status dnat", "accept", said(network.name, "to published ports"))
    yield among
    for family in sorted(network.routed):
        names = f"{NETWORK_LAYER[family]} daddr . meta l4proto . th dport @opened{family}"
        yield _rule(names, "accept", said(network.name, "routed, to published ports"))
        ping = f"{_of(family)} meta l4proto {ICMP[family]}"
        yield _rule(ping, "accept", said(network.name, "routed, may be pinged"))
    for family in sorted(network.unprotected):
        yield _rule(_of(family), "accept", said(network.name, "unprotected"))
    yield _rule("", "drop", said(network.name, "no way in from elsewhere"))


def _closed(network: FirewallNetwork) -> Iterator[str]:
    elsewhere = f'oifname != "{network.bridge}"'
    if network.internal:
        yield _rule(elsewhere, "drop", said(network.name, "internal, no way out"))
        return
    missing = {family for family in FAMILIES if not network.of(family)}
    for family in sorted(missing if network.prefixes else ()):
        comment = said(network.name, "not of this family, no way out")
        yield _rule(f"{_of(family)} {elsewhere}", "drop", comment)


def _leaving(network: FirewallNetwork) -> Iterator[str]:
    if network.internal:
        return
    elsewhere = f'oifname != "{network.bridge}"'
    for prefix in network.prefixes:
        if masqueraded(network, prefix):
            layer, source = NETWORK_LAYER[prefix.version], network.sources.get(prefix.version)
            act = f"snat {layer} to {source}" if source else "masquerade"
            comment = said(network.name, "goes out as the host")
            yield _rule(f"{layer} saddr {prefix} {elsewhere}", act, comment)


def _returning(network: FirewallNetwork) -> Iterator[str]:
    if network.internal:
        return
    for prefix in network.prefixes:
        # The container would answer its neighbour directly, from an address that was not asked.
        # By its source: bridged packets (br_netfilter) show no incoming interface here.
        comment = said(network.name, "neighbours to published ports")
        source = f"{NETWORK_LAYER[prefix.version]} saddr {prefix}"
        yield _rule(f"{source} ct status dnat", "masquerade", comment)


def _published(table: str, group: tuple[Publication, ...]) -> Block:
    return Block(
        tuple(_element_commands("add", table, group)),
        tuple(_element_commands("delete", table, group)),
    )


def _republished(
    table: str, before: tuple[Publication, ...], after: tuple[Publication, ...]
) -> Block:
    # What stays is not touched, and goes on counting.
    stays = {*before} & {*after}
    gone, new = (tuple(e for e in group if e not in stays) for group in (before, after))
    return Block(make=_published(table, new).make, unmake=_published(table, gone).unmake)


def _elements(group: tuple[Publication, ...]) -> Mapping[str, tuple[str, ...]]:
    """Return the elements of a container's published ports by the set that has them."""
    sets: dict[str, list[str]] = {}
    for each in group:
        family, comment = each.address.version, f'comment "{said_of(each)}"'
        for shift in range(each.count):
            inside, outside = each.port + shift, each.host_port + shift
            if not each.host_port:
                key = f"{each.address} . {each.protocol} . {inside}"
                sets.setdefault(f"opened{family}", []).append(f"{key} {comment}")
                continue
            key, name = f"{each.protocol} . {outside}", f"published{family}_any"
            if not each.host_address.is_unspecified:
                key, name = f"{each.host_address} . {key}", f"published{family}"
            sets.setdefault(name, []).append(f"{key} {comment} : {each.address} . {inside}")
    return {name: tuple(elements) for name, elements in sets.items()}


def _element_commands(verb: str, table: str, group: tuple[Publication, ...]) -> Iterator[str]:
    for name, elements in _elements(group).items():
        yield f"{verb} element inet {table} {name} {{ {', '.join(elements)} }}"


def _strangers(table: str, families: frozenset[int]) -> Block:
    # Bridges of other daemons are no strangers either.
    own = f'iifname != @bridges oifname != @bridges iifname != "{BRIDGES}*" oifname != "{BRIDGES}*"'
    comment = "netd: this host was no router before netd turned forwarding on"
    rules = [_rule(f"{_of(family)} {own}", "drop", comment) for family in sorted(families)]
    return Block(
        tuple(f"add rule inet {table} strangers {rule}" for rule in rules),
        (f"flush chain inet {table} strangers",),
    )


def _of(family: int) -> str:
    return f"meta nfproto ipv{family}"


def _rule(matches: str, act: str, comment: str) -> str:
    return " ".join(word for word in (matches, "counter", act, f'comment "{comment}"') if word)
