"""Frames as containers send them, from parts: who says it, and what."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from secrets import randbits
from typing import Any

from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import (
    ICMPv6MLDMultAddrRec,
    ICMPv6MLReport2,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    PadN,
    RouterAlert,
)
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Packet, Raw

from drivers.spoofing import link_local

Frames = Sequence[Packet]

PREFIXES = {4: ip_network("10.10.0.0/24"), 6: ip_network("fd00:10::/64")}
HOST4, HOST6 = "10.10.0.1", "fd00:10::1"
NOBODY4, NOBODY6 = "10.10.0.99", "fd00:10::99"  # addresses that no container has
ALL4, ALL6, ROUTERS = "255.255.255.255", "ff02::1", "ff02::2"
EVERYBODY, UNKNOWN = "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"
EXPERIMENT = 0x88B5  # an EtherType for trials (IEEE 802)
TYPES = {ARP: 0x0806, IP: 0x0800, IPv6: 0x86DD, Dot1Q: 0x8100, Dot1AD: 0x88A8}


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who a frame is from, or pretends to be from."""

    mac: str
    v4: str = ""
    v6: str = ""

    @property
    def local(self) -> str:
        """Return its link-local address."""
        return str(link_local(self.mac))


def content(frame: Packet) -> bytes:
    """Return what of a frame is the same wherever it arrives, in fragments or put together."""
    if IPv6ExtHdrFragment in frame:
        return bytes(frame[IPv6ExtHdrFragment].payload)
    if IP in frame and frame[IP].flags.MF:
        return bytes(frame[IP].payload)
    layer = frame
    while isinstance(layer, Ether | Dot1Q):
        layer = layer.payload
    return bytes(layer)


def framed(me: Speaker, *packets: Packet, to: str = EVERYBODY) -> Frames:
    """Return packets in frames from one's own MAC."""
    return [Ether(src=me.mac, dst=to, type=TYPES[type(packet)]) / packet for packet in packets]


def tagged(me: Speaker, packet: Packet, *tags: Packet) -> Frames:
    """Return a packet in a frame with tags, the outer one first."""
    for tag in reversed(tags):
        tag.type = TYPES[type(packet)]
        packet = tag / packet
    return framed(me, packet)


def plain(me: Speaker, text: bytes, to: str = EVERYBODY) -> Packet:
    """Return a frame of no protocol to everybody, or to one."""
    return Ether(src=me.mac, dst=to, type=EXPERIMENT) / Raw(text)


def v4(source: str, to: str = ALL4) -> Packet:
    """Return a UDP packet to everybody, or to one."""
    return IP(src=source, dst=to) / UDP(sport=9, dport=9) / Raw(b"hello")


def v6(source: str, to: str = ALL6, behind: Packet | None = None) -> Packet:
    """Return a UDP packet to everybody, or to one, behind extension headers."""
    return _behind(IPv6(src=source, dst=to), behind) / UDP(sport=9, dport=9) / Raw(b"hello")


def padding(kind: type[Packet]) -> Packet:
    """Return an extension header that says nothing."""
    return kind(options=[PadN(optdata=b"\0" * 4)])


def fragments(packet: Packet, *cuts: int) -> Frames:
    """Return an IPv6 packet's fragments, cut at multiples of 8 octets of what it carries."""
    header, octets = IPv6(src=packet.src, dst=packet.dst, hlim=packet.hlim), bytes(packet)[40:]
    next_header, ends, number = bytes(packet)[6], [*cuts, len(octets)], randbits(32)
    return [
        header
        / IPv6ExtHdrFragment(nh=next_header, offset=start // 8, m=end != len(octets), id=number)
        / Raw(octets[start:end])
        for start, end in zip([0, *cuts], ends, strict=True)
    ]


def arp(me: Speaker, to: str, **said: Any) -> Packet:
    """Return an ARP question for an address; op=2 makes it an answer."""
    return ARP(hwsrc=me.mac, psrc=me.v4, hwdst=UNKNOWN, pdst=to, **said)


def asks(source: str, target: str) -> Packet:
    """Return a neighbour solicitation; asked from :: it is whether the address is free."""
    return IPv6(src=source, dst=ALL6, hlim=255) / ICMPv6ND_NS(tgt=target)


def advertisement(
    me: Speaker, target: str, *, source: str = "", to: str = ALL6, behind: Packet | None = None
) -> Packet:
    """Return a neighbour advertisement: the target is at my MAC."""
    header = IPv6(src=source or me.v6, dst=to, hlim=255)
    told = ICMPv6ND_NA(tgt=target, R=0, S=0, O=1) / ICMPv6NDOptDstLLAddr(lladdr=me.mac)
    return _behind(header, behind) / told


def router(me: Speaker, *, to: str = ALL6, behind: Packet | None = None) -> Packet:
    """Return a router advertisement: the way out is here."""
    header = IPv6(src=me.local, dst=to, hlim=255)
    told = ICMPv6ND_RA(routerlifetime=1800) / ICMPv6NDOptSrcLLAddr(lladdr=me.mac)
    return _behind(header, behind) / told


def redirect(me: Speaker, to: str) -> Packet:
    """Return a redirect: the way to an address is here."""
    told = ICMPv6ND_Redirect(tgt=me.local, dst=NOBODY6) / ICMPv6NDOptDstLLAddr(lladdr=me.mac)
    return IPv6(src=me.local, dst=to, hlim=255) / told


def listens(source: str) -> Packet:
    """Return a report to multicast routers (RFC 3810)."""
    record = ICMPv6MLDMultAddrRec(rtype=4, dst="ff02::1:ff00:2")
    alert = IPv6ExtHdrHopByHop(options=[RouterAlert()])
    return IPv6(src=source, dst="ff02::16", hlim=1) / alert / ICMPv6MLReport2(records=[record])


def offer(source: str) -> Packet:
    """Return what a DHCP server says."""
    kind = DHCP(options=[("message-type", "offer"), "end"])
    return IP(src=source, dst=ALL4) / UDP(sport=67, dport=68) / BOOTP(op=2) / kind


def discover(me: Speaker) -> Packet:
    """Return what a DHCP client says first."""
    boot = BOOTP(chaddr=bytes.fromhex(me.mac.replace(":", "")), flags=0x8000)
    kind = DHCP(options=[("message-type", "discover"), "end"])
    return IP(src="0.0.0.0", dst=ALL4) / UDP(sport=68, dport=67) / boot / kind


def offer6(me: Speaker, message: Packet, behind: Packet | None = None) -> Packet:
    """Return what a DHCPv6 server says."""
    return _behind(IPv6(src=me.local, dst=ALL6), behind) / UDP(sport=547, dport=546) / message


def _behind(header: Packet, behind: Packet | None) -> Packet:
    return header / behind if behind else header
