"""One rule as the octets the kernel's tables hold, and which of them tell rules apart.

    entry (addresses, interfaces, sizes, counters) | match | match ... | target

python-iptables could fill these structures in by itself, but not safely in a daemon: the extensions
it loads know one family in a process where they are built as libxt_NAT is, they end the process
when they are loaded for a second one, and its IPv6 rules compare only the lowest bit of each letter
of an interface's name. The structures are the kernel's interface and do not change:
linux/netfilter/x_tables.h, linux/netfilter_ipv4/ip_tables.h, linux/netfilter_ipv6/ip6_tables.h.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address

from drivers.rules import PREFIX, Rule

VERDICTS = ("ACCEPT", "DROP", "RETURN")
PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "ipv6-icmp": 58, "sctp": 132}
# XT_CONNTRACK_STATE_BIT, linux/netfilter/xt_conntrack.h
STATES = {"INVALID": 1, "ESTABLISHED": 2, "RELATED": 4, "NEW": 8, "SNAT": 64, "DNAT": 128}
ADDRESS_TYPES = {"UNICAST": 1 << 1, "LOCAL": 1 << 2}  # XT_ADDRTYPE_..., by RTN_... of routes
NOT_DESTINATION = 0x02  # XT_ADDRTYPE_INVERT_DEST

NOT_IN, NOT_OUT = 0x01, 0x02  # IPT_INV_VIA_IN, IPT_INV_VIA_OUT; IPv6's are the same
HAS_PROTOCOL = 0x01  # IP6T_F_PROTO
CONNTRACK_STATE = 0x01  # XT_CONNTRACK_STATE
MAP_IPS, PROTO_SPECIFIED, PROTO_OFFSET = 0x01, 0x02, 0x20  # NF_NAT_RANGE_...
MULTIPORT_DESTINATION = 1  # XT_MULTIPORT_DESTINATION

# struct ipt_entry and ip6t_entry behind the addresses and before the matches.
INTERFACES = "16s16s16s16s"
ENTRY = {
    4: struct.Struct(f"=4s4s4s4s{INTERFACES}HBB"),
    6: struct.Struct(f"=16s16s16s16s{INTERFACES}HBBB3x"),
}
SIZES = {4: struct.Struct("=IHHI16x"), 6: struct.Struct("=IHHI4x16x")}  # ..., links, counters
HEAD = struct.Struct("=H29sB")  # size, name, revision: struct xt_entry_match, xt_entry_target


@dataclass(frozen=True, slots=True)
class Encoded:
    """A rule as the kernel holds it."""

    octets: bytes
    mask: bytes  # as long; zero where the kernel, or chance, writes
    target: str

    def same(self, octets: bytes, target: str) -> bool:
        """Return whether a rule of the kernel is this one; its target is compared by name."""
        if target != self.target or len(octets) != len(self.octets):
            return False
        mask = int.from_bytes(self.mask)
        return int.from_bytes(octets) & mask == int.from_bytes(self.octets) & mask


@lru_cache(1 << 15)
def encoded(family: int, rule: Rule) -> Encoded:
    """Return a rule's octets; a verdict and a chain stand by name, for libiptc to put in."""
    matches = b"".join(_extension(*match) for match in _matches(rule))
    target = _extension(rule.jump, *_target(family, rule))
    head = ENTRY[family].size + SIZES[family].size
    offset = head + len(matches)
    sizes = SIZES[family].pack(0, offset, offset + len(target), 0)
    octets = _address(family, rule) + sizes + matches + target
    return Encoded(octets, _mask(family, rule, octets), rule.jump)


def counted(family: int, octets: bytes) -> tuple[int, int]:
    """Return the packets and octets that a live rule has counted."""
    packets, octets_ = struct.unpack_from(
        "=QQ", octets, ENTRY[family].size + SIZES[family].size - 16
    )
    return int(packets), int(octets_)


def _address(family: int, rule: Rule) -> bytes:
    prefixes = (rule.source, rule.destination)
    nothing = bytes(4 if family == 4 else 16)
    addresses = [p.network_address.packed if p else nothing for p in prefixes]
    masks = [p.netmask.packed if p else nothing for p in prefixes]
    names, compared = zip(*(_interface(n) for n in (rule.inbound, rule.outbound)), strict=True)
    inverted = NOT_IN * rule.inbound.startswith("!") | NOT_OUT * rule.outbound.startswith("!")
    protocol = PROTOCOLS[rule.protocol] if rule.protocol else 0
    flags = (0,) if family == 4 else (0, HAS_PROTOCOL if protocol else 0)
    return ENTRY[family].pack(*addresses, *masks, *names, *compared, protocol, *flags, inverted)


def _interface(name: str) -> tuple[bytes, bytes]:
    """Return an interface's name and which of its octets are compared, the end included."""
    octets = name.removeprefix("!").encode()
    if octets.endswith(b"+"):
        # The sign stays in the name, though it is not compared: newer tools print it from there.
        return octets, b"\xff" * (len(octets) - 1)
    return octets, b"\xff" * (len(octets) + 1 if octets else 0)


def _matches(rule: Rule) -> Iterator[tuple[str, int, bytes]]:
    """Yield the name, revision and data of each match."""
    if rule.source_port or rule.destination_port:
        yield _ports(rule)
    if rule.destination_type:
        kind = ADDRESS_TYPES[rule.destination_type.removeprefix("!")]
        inverted = NOT_DESTINATION * rule.destination_type.startswith("!")
        yield "addrtype", 1, struct.pack("=HHI", 0, kind, inverted)
    if rule.states:
        mask = sum(STATES[state] for state in rule.states.split(","))
        # struct xt_conntrack_mtinfo3: addresses and ports, flags at 146, states at 150.
        yield "conntrack", 3, struct.pack("=146xHHHH10x", CONNTRACK_STATE, 0, mask, 0)
    yield "comment", 0, struct.pack("=256s", rule.comment.encode()[:255])


def _ports(rule: Rule) -> tuple[str, int, bytes]:
    last = rule.destination_last or rule.destination_port
    if rule.protocol == "sctp":
        # struct xt_multiport_v1: kind, count, ports, which of them begin a range, inverted.
        ports = (rule.destination_port, last)[: 2 if rule.destination_last else 1]
        numbers = struct.pack("=15H", *ports, *(0,) * (15 - len(ports)))
        begins = struct.pack("=15B", len(ports) - 1, *(0,) * 14)
        kind = struct.pack("=BB", MULTIPORT_DESTINATION, len(ports))
        return "multiport", 1, kind + numbers + begins + bytes(1)
    ranges = [
        (port, end) if port else (0, 0xFFFF)
        for port, end in ((rule.source_port, rule.source_port), (rule.destination_port, last))
    ]
    # struct xt_tcp has flags behind the ports, xt_udp only one octet; none is used.
    return rule.protocol, 0, struct.pack("=4H4x", *ranges[0], *ranges[1])


def _target(family: int, rule: Rule) -> tuple[int, bytes]:
    """Return the revision and data of what the rule does; they are those iptables 1.8 writes."""
    if rule.jump == "MASQUERADE":
        # struct nf_nat_ipv4_multi_range_compat with one range, struct nf_nat_range.
        return 0, struct.pack("=I16x", 1) if family == 4 else bytes(40)
    if rule.jump not in {"SNAT", "DNAT"}:
        return 0, bytes(4)  # the verdict
    address, first, last, base = _address_and_ports(rule.to)
    flags = MAP_IPS | (PROTO_SPECIFIED if first else 0) | (PROTO_OFFSET if base else 0)
    if rule.jump == "SNAT" and family == 4:
        return 0, struct.pack("=II4s4s2s2s", 1, flags, address, address, first, last)
    ends = struct.pack("=I16s16s2s2s", flags, address, address, first, last)
    # nf_nat_range, nf_nat_range2
    return (1, ends) if rule.jump == "SNAT" else (2, ends + struct.pack("=2s2x", base))


def _address_and_ports(text: str) -> tuple[bytes, bytes, bytes, bytes]:
    """Return the address, first and last port and the port they are counted from.

    All in network order; ports are empty where there are none.
    """
    address, colon, ports = text.rpartition(":")
    if not colon or (":" in address and not address.endswith("]")):
        return ip_address(text.strip("[]")).packed, b"", b"", b""
    run, _, base = ports.partition("/")
    first, _, last = run.partition("-")
    numbers = (first, last or first, base)
    packed = [struct.pack("!H", int(number)) if number else b"" for number in numbers]
    return (ip_address(address.strip("[]")).packed, packed[0], packed[1], packed[2])


def _extension(name: str, revision: int, data: bytes) -> bytes:
    size = HEAD.size + -len(data) % 8 + len(data)  # XT_ALIGN
    return (HEAD.pack(size, name.encode(), revision) + data).ljust(size, b"\0")


def _mask(family: int, rule: Rule, octets: bytes) -> bytes:
    start = ENTRY[family].size
    mask = bytearray(b"\xff" * len(octets))
    # What libiptc and the kernel keep there: a cache, links while they check, the counters.
    mask[start : start + 4] = bytes(4)
    counted = start + 8
    start += SIZES[family].size
    mask[counted:start] = bytes(start - counted)
    while start < len(octets):
        size, name, _ = HEAD.unpack_from(octets, start)
        # Behind a short name stands what happened to be in the reader's memory.
        used, end = start + 2 + len(name.rstrip(b"\0")) + 1, start + HEAD.size - 1
        mask[used:end] = bytes(max(0, end - used))
        last, start = start, start + size
    if rule.jump in VERDICTS or rule.jump.startswith(PREFIX):
        mask[last:] = bytes(len(mask) - last)  # known by its name
    return bytes(mask)
