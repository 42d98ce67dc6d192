"""Who may speak at a port of a bridge: a pure function from the ports to pieces of nf_tables.

A container sends with its own MAC, IPv4 and IPv6 addresses only, also inside ARP and neighbour
advertisements, and is neither router nor DHCP server. Each is one look-up in a set of pairs of a
port and an address. A port is in the sets before it exists, so there is no moment without.

These rules are in the family `bridge`, where a frame shows its port, whichever kind of firewall
stands above it.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from ipaddress import IPv6Address

from drivers.firewall import LONGEST_NAME, BridgePort, said
from drivers.nft_blocks import Block, Piece
from drivers.nft_rules import table_name

# @th,64,128 is the target of a neighbour advertisement or solicitation (RFC 4861 4.3, 4.4).
# Receivers drop fragments of neighbour discovery (RFC 6980), but a host that shows bridged packets
# to iptables puts them together before. Of other fragments than the first no type can be read.
BASE = """
add table bridge {t}
add set bridge {t} ports {{ type ifname; comment "netd: ends of wires to containers"; }}
add set bridge {t} macs {{ type ifname . ether_addr; }}
add set bridge {t} addresses4 {{ type ifname . ipv4_addr; }}
add set bridge {t} addresses6 {{ type ifname . ipv6_addr; }}
add set bridge {t} targets6 {{ typeof iifname . @th,64,128; }}
add chain bridge {t} prerouting {{ type filter hook prerouting priority -300; }}
add rule bridge {t} prerouting iifname != @ports accept
add rule bridge {t} prerouting iifname . ether saddr != @macs counter drop comment \
"netd: not with the MAC of another"
add rule bridge {t} prerouting ether type {{ 8021q, 8021ad }} counter drop comment \
"netd: no VLAN tags, which would hide what is behind them"
add rule bridge {t} prerouting iifname . arp saddr ether != @macs counter drop comment \
"netd: no ARP for the MAC of another"
add rule bridge {t} prerouting arp saddr ip != 0.0.0.0 iifname . arp saddr ip != @addresses4 \
counter drop comment "netd: no ARP for the address of another"
add rule bridge {t} prerouting udp sport 67 udp dport 68 counter drop comment \
"netd: no DHCP offers"
add rule bridge {t} prerouting udp sport 547 udp dport 546 counter drop comment \
"netd: no DHCPv6 offers"
add rule bridge {t} prerouting ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept
add rule bridge {t} prerouting iifname . ip saddr != @addresses4 counter drop comment \
"netd: not with the IPv4 address of another"
add rule bridge {t} prerouting icmpv6 type {{ nd-router-advert, nd-redirect }} counter drop \
comment "netd: no router advertisements, no redirects"
add rule bridge {t} prerouting frag frag-off 0 icmpv6 type != {{ echo-request, echo-reply }} \
counter drop comment "netd: no fragments of ICMPv6 but of pings"
add rule bridge {t} prerouting icmpv6 type nd-neighbor-advert iifname . @th,64,128 != @targets6 \
counter drop comment "netd: no neighbour advertisements for the address of another"
add rule bridge {t} prerouting ip6 saddr :: icmpv6 type nd-neighbor-solicit \
iifname . @th,64,128 @targets6 accept
add rule bridge {t} prerouting ip6 saddr :: icmpv6 type mld2-listener-report accept
add rule bridge {t} prerouting iifname . ip6 saddr != @addresses6 counter drop comment \
"netd: not with the IPv6 address of another"
"""


def pieces(ports: Sequence[BridgePort], owner: str = "") -> Mapping[str, Piece]:
    """Return the rules for these ports; a table without ports is there, too, and lets all pass."""
    table = table_name(owner)
    made = {"guard": Piece(table, _base)}
    guarded = (port for port in ports if port.guarded)
    for port in sorted(guarded, key=lambda each: each.host_interface):
        made[f"port {port.host_interface}"] = Piece(port, partial(_port, table))
    return made


def link_local(mac: str) -> IPv6Address:
    """Return the link-local address that the kernel makes from a MAC (RFC 4291 appendix A)."""
    octets = bytearray.fromhex(mac.replace(":", ""))
    octets[0] ^= 0x02
    identifier = octets[:3] + b"\xff\xfe" + octets[3:]
    return IPv6Address(b"\xfe\x80" + bytes(6) + bytes(identifier))


def _base(table: str) -> Block:
    lines = BASE.format(t=table).strip().split("\n")
    return Block(tuple(lines), (f"delete table bridge {table}",))


def _port(table: str, port: BridgePort) -> Block:
    elements = tuple(_elements(port))
    return Block(
        tuple(f"add element bridge {table} {element}" for element in elements),
        tuple(f"delete element bridge {table} {element}" for element in elements),
    )


def _elements(port: BridgePort) -> Iterator[str]:
    name = f'"{port.host_interface}"'
    # First who it is, so that it is known when its port is.
    yield f"macs {{ {name} . {port.mac} }}"
    own = [interface.ip for interface in port.addresses]
    if any(address.version == 6 for address in own):
        own.append(link_local(port.mac))
    for address in own:
        yield f"addresses{address.version} {{ {name} . {address} }}"
        if address.version == 6:
            yield f"targets6 {{ {name} . 0x{int(address):032x} }}"
    comment = said(port.network[:30], port.container[:LONGEST_NAME])
    yield f'ports {{ {name} comment "{comment}" }}'
