"""What a container may say in its network, and with what it would lie.

Each takes the one who speaks and another one, and returns frames. Of several frames the first is
the one that matters.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from scapy.layers.dhcp6 import DHCP6_Advertise, DHCP6_Reply, DHCP6_Solicit
from scapy.layers.inet import ICMP, IP, UDP, fragment
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_RS,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrHopByHop,
)
from scapy.layers.l2 import Dot1AD, Dot1Q

from tests.kernel.frames import (
    ALL4,
    ALL6,
    HOST4,
    HOST6,
    NOBODY4,
    NOBODY6,
    ROUTERS,
    Frames,
    Speaker,
    advertisement,
    arp,
    asks,
    discover,
    fragments,
    framed,
    listens,
    offer,
    offer6,
    padding,
    plain,
    redirect,
    router,
    tagged,
    v4,
    v6,
)

Said = Callable[[Speaker, Speaker], Frames]

HOP_BY_HOP, DESTINATION = padding(IPv6ExtHdrHopByHop), padding(IPv6ExtHdrDestOpt)


def _taken(me: Speaker, it: Speaker) -> Speaker:
    """Return who has one's own MAC and the other's addresses."""
    return replace(it, mac=me.mac)


MACS: Mapping[str, Said] = {
    "of another": lambda me, it: [plain(it, b"lie")],
    "of nobody": lambda me, it: [plain(Speaker("02:42:00:00:00:99"), b"lie")],
    "of another with its IPv4": lambda me, it: framed(it, v4(it.v4)),
    "of another with its IPv6": lambda me, it: framed(it, v6(it.v6)),
    "of another with its ARP": lambda me, it: framed(it, arp(it, me.v4, op=2)),
    "of another with one's own IPv4": lambda me, it: framed(it, v4(me.v4)),
    "of another as a DHCP client": lambda me, it: framed(it, discover(it)),
}
IPV4: Mapping[str, Said] = {
    "of another": lambda me, it: framed(me, v4(it.v4)),
    "of another in fragments": lambda me, it: framed(me, *fragment(v4(it.v4), 8)),
    "of the host": lambda me, it: framed(me, v4(HOST4)),
    "of the host to one": lambda me, it: framed(me, v4(HOST4, it.v4), to=it.mac),
    "of nobody": lambda me, it: framed(me, v4(NOBODY4)),
    "of elsewhere": lambda me, it: framed(me, v4("192.0.2.1")),
    "none": lambda me, it: framed(me, v4("0.0.0.0")),
    "none, and a ping": lambda me, it: framed(me, IP(src="0.0.0.0", dst=ALL4) / ICMP() / b"hello"),
}
IPV6: Mapping[str, Said] = {
    "of another": lambda me, it: framed(me, v6(it.v6)),
    "of another behind options": lambda me, it: framed(me, v6(it.v6, behind=DESTINATION)),
    "of another in fragments": lambda me, it: framed(me, *fragments(v6(it.v6), 8)),
    "of another's link": lambda me, it: framed(me, v6(it.local)),
    "of the host": lambda me, it: framed(me, v6(HOST6)),
    "of the host to one": lambda me, it: framed(me, v6(HOST6, it.v6), to=it.mac),
    "of nobody": lambda me, it: framed(me, v6(NOBODY6)),
    "of nobody's link": lambda me, it: framed(me, v6("fe80::99")),
    "of elsewhere": lambda me, it: framed(me, v6("2001:db8::1")),
    "none": lambda me, it: framed(me, v6("::")),
    "none, and a ping": lambda me, it: framed(
        me, IPv6(src="::", dst=ALL6) / ICMPv6EchoRequest(data=b"hello")
    ),
    "none, and a router wanted": lambda me, it: framed(
        me, IPv6(src="::", dst=ROUTERS, hlim=255) / ICMPv6ND_RS()
    ),
}
ARPS: Mapping[str, Said] = {
    "an answer for another": lambda me, it: framed(me, arp(_taken(me, it), it.v4, op=2)),
    "an answer for the host": lambda me, it: framed(me, arp(replace(me, v4=HOST4), it.v4, op=2)),
    "an answer for the host to one": lambda me, it: framed(
        me, arp(replace(me, v4=HOST4), it.v4, op=2), to=it.mac
    ),
    "a question of another": lambda me, it: framed(me, arp(_taken(me, it), HOST4)),
    "a gratuitous question of another": lambda me, it: framed(me, arp(_taken(me, it), it.v4)),
    "an answer with the MAC of another": lambda me, it: framed(
        me, arp(replace(me, mac=it.mac), it.v4, op=2)
    ),
    "a probe with the MAC of another": lambda me, it: framed(
        me, arp(Speaker(it.mac, "0.0.0.0"), NOBODY4)
    ),
    # Linux takes it for Ethernet's, too (arp_process() in net/ipv4/arp.c).
    "an answer for another of IEEE 802 hardware": lambda me, it: framed(
        me, arp(_taken(me, it), it.v4, op=2, hwtype=6)
    ),
}
NEIGHBOURS: Mapping[str, Said] = {
    "another": lambda me, it: framed(me, advertisement(me, it.v6)),
    "another, to one": lambda me, it: framed(me, advertisement(me, HOST6, to=it.v6), to=it.mac),
    "another, from link-local": lambda me, it: framed(
        me, advertisement(me, it.v6, source=me.local)
    ),
    "another's link-local": lambda me, it: framed(me, advertisement(me, it.local, source=me.local)),
    "the host": lambda me, it: framed(me, advertisement(me, HOST6)),
    "another, behind options": lambda me, it: framed(
        me, advertisement(me, it.v6, behind=HOP_BY_HOP / DESTINATION)
    ),
    "another, in fragments": lambda me, it: framed(me, *fragments(advertisement(me, it.v6), 8)),
    "another, in larger fragments": lambda me, it: framed(
        me, *fragments(advertisement(me, it.v6), 24)
    ),
    "another, in an only fragment": lambda me, it: framed(me, *fragments(advertisement(me, it.v6))),
    "another whose address one would like": lambda me, it: framed(me, asks("::", it.v6)),
}
ROUTING: Mapping[str, Said] = {
    "an advertisement": lambda me, it: framed(me, router(me)),
    "an advertisement to one": lambda me, it: framed(me, router(me, to=it.v6), to=it.mac),
    "an advertisement of another": lambda me, it: framed(me, router(it)),
    "an advertisement behind hop-by-hop options": lambda me, it: framed(
        me, router(me, behind=HOP_BY_HOP)
    ),
    "an advertisement behind destination options": lambda me, it: framed(
        me, router(me, behind=DESTINATION)
    ),
    "an advertisement behind both": lambda me, it: framed(
        me, router(me, behind=HOP_BY_HOP / DESTINATION)
    ),
    "an advertisement in an only fragment": lambda me, it: framed(me, *fragments(router(me))),
    "an advertisement in fragments": lambda me, it: framed(me, *fragments(router(me), 8)),
    "a redirect": lambda me, it: framed(me, redirect(me, it.v6), to=it.mac),
}
DHCP_SERVERS: Mapping[str, Said] = {
    "an offer": lambda me, it: framed(me, offer(me.v4)),
    "an offer of the host": lambda me, it: framed(me, offer(HOST4)),
    "an offer of none": lambda me, it: framed(me, offer("0.0.0.0")),
    "DHCPv6": lambda me, it: framed(me, offer6(me, DHCP6_Advertise())),
    "DHCPv6 behind options": lambda me, it: framed(me, offer6(me, DHCP6_Reply(), DESTINATION)),
}
VLANS: Mapping[str, Said] = {
    "a priority, IPv4": lambda me, it: tagged(me, v4(it.v4), Dot1Q(vlan=0, prio=5)),
    "a priority, ARP": lambda me, it: tagged(me, arp(_taken(me, it), it.v4, op=2), Dot1Q(vlan=0)),
    "a priority, router": lambda me, it: tagged(me, router(me), Dot1Q(vlan=0)),
    "IPv4": lambda me, it: tagged(me, v4(it.v4), Dot1Q(vlan=5)),
    "ARP": lambda me, it: tagged(me, arp(_taken(me, it), it.v4, op=2), Dot1Q(vlan=5)),
    "a provider's": lambda me, it: tagged(me, v4(it.v4), Dot1AD(vlan=0)),
    "a provider's, ARP": lambda me, it: tagged(
        me, arp(_taken(me, it), it.v4, op=2), Dot1AD(vlan=5)
    ),
    "two": lambda me, it: tagged(me, v4(it.v4), Dot1AD(vlan=5), Dot1Q(vlan=0)),
}
LIES = {
    "MAC": MACS,
    "IPv4": IPV4,
    "IPv6": IPV6,
    "ARP": ARPS,
    "neighbour": NEIGHBOURS,
    "router": ROUTING,
    "DHCP": DHCP_SERVERS,
    "VLAN": VLANS,
}

TRUTHS: Mapping[str, Said] = {
    "no protocol": lambda me, it: [plain(me, b"truth")],
    "IPv4 to everybody": lambda me, it: framed(me, v4(me.v4)),
    "IPv4 to the network": lambda me, it: framed(me, v4(me.v4, "10.10.0.255")),
    "IPv4 to a group": lambda me, it: framed(me, v4(me.v4, "224.0.0.251"), to="01:00:5e:00:00:fb"),
    "IPv4 to one": lambda me, it: framed(me, v4(me.v4, it.v4), to=it.mac),
    "ARP question": lambda me, it: framed(me, arp(me, it.v4)),
    "ARP answer": lambda me, it: framed(me, arp(me, it.v4, op=2)),
    "gratuitous ARP": lambda me, it: framed(me, arp(me, me.v4)),
    "ARP probe": lambda me, it: framed(me, arp(replace(me, v4="0.0.0.0"), me.v4)),
    "IPv6 to everybody": lambda me, it: framed(me, v6(me.v6)),
    "IPv6 to a group": lambda me, it: framed(me, v6(me.v6, "ff02::fb"), to="33:33:00:00:00:fb"),
    "IPv6 to one": lambda me, it: framed(me, v6(me.v6, it.v6), to=it.mac),
    "IPv6 behind options": lambda me, it: framed(me, v6(me.v6, behind=DESTINATION)),
    "IPv6 from link-local": lambda me, it: framed(me, v6(me.local)),
    "neighbour advertisement": lambda me, it: framed(me, advertisement(me, me.v6)),
    "neighbour advertisement of link-local": lambda me, it: framed(
        me, advertisement(me, me.local, source=me.local)
    ),
    "neighbour solicitation": lambda me, it: framed(me, asks(me.v6, it.v6)),
    "is my address free": lambda me, it: framed(me, asks("::", me.v6)),
    "router solicitation": lambda me, it: framed(
        me, IPv6(src=me.local, dst=ROUTERS, hlim=255) / ICMPv6ND_RS()
    ),
    "listener report": lambda me, it: framed(me, listens(me.local)),
    "listener report before it has an address": lambda me, it: framed(me, listens("::")),
    "DHCP client": lambda me, it: framed(me, discover(me)),
    "DHCPv6 client": lambda me, it: framed(
        me, IPv6(src=me.local, dst="ff02::1:2") / UDP(sport=546, dport=547) / DHCP6_Solicit()
    ),
}
