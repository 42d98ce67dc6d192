"""One rule as the octets the kernel's tables hold, and which of them tell rules apart.

The structures are those of linux/netfilter/x_tables.h and linux/netfilter_ipv4/ip_tables.h:

    entry (addresses, interfaces, sizes, counters) | match | match ... | target

python-iptables fills them in; an empty rule of its making is handed in, so that this module need
not import it.
"""

import ctypes
import struct
from dataclasses import dataclass
from typing import Any

from drivers.firewall import Rule

PREFIX = "NETD"  # netd's chains, and nobody else's, begin so
NOT_IN, NOT_OUT = 0x01, 0x02  # IPT_INV_VIA_IN, IPT_INV_VIA_OUT; IPv6's are the same
NAME = 29  # XT_EXTENSION_MAXNAMELEN


@dataclass(frozen=True, slots=True)
class Encoded:
    """A rule as the kernel holds it."""

    octets: bytes
    mask: bytes  # as long; zero where the kernel or chance writes
    target: str

    def same(self, octets: bytes, target: str) -> bool:
        """Return whether a rule of the kernel is this one; its target is compared by name."""
        if target != self.target or len(octets) != len(self.octets):
            return False
        mask = int.from_bytes(self.mask)
        return int.from_bytes(octets) & mask == int.from_bytes(self.octets) & mask


def encoded(empty: Any, rule: Rule) -> Encoded:
    """Return a rule's octets, made with an empty iptc.Rule or Rule6, whose errors are let through.

    Its `final_check` is not called: it would send the process's standard output through a pipe to
    read back what was just set.
    """
    _address(empty, rule)
    _matches(empty, rule)
    _target(empty, rule)
    octets = bytes(empty.rule)
    return Encoded(octets, _mask(empty, rule, octets), rule.jump)


def _address(made: Any, rule: Rule) -> None:
    if rule.source:
        made.src = str(rule.source)
    if rule.destination:
        made.dst = str(rule.destination)
    if rule.protocol:
        made.protocol = "icmpv6" if rule.protocol == "ipv6-icmp" else rule.protocol
    # Not by its in_interface: version 1.2.0 makes IPv6 compare only the lowest bit of each letter,
    # so that nd-2 passes for nd-0.
    ip = made.get_ip()
    for field, name, inverse in (
        ("iniface", rule.inbound, NOT_IN),
        ("outiface", rule.outbound, NOT_OUT),
    ):
        if name.startswith("!"):
            ip.invflags |= inverse
        octets = name.removeprefix("!").encode()
        if octets.endswith(b"+"):
            octets, compared = octets[:-1], len(octets) - 1
        else:
            compared = len(octets) + 1 if octets else 0
        setattr(ip, field, octets)
        setattr(ip, f"{field}_mask", b"\xff" * compared)


def _matches(made: Any, rule: Rule) -> None:
    ports = {"sport": rule.source_port, "dport": rule.destination_port}
    if any(ports.values()):
        match = made.create_match(rule.protocol)
        for name, port in ports.items():
            if port:
                match.set_parameter(name, str(port))
    if rule.states:
        made.create_match("conntrack").set_parameter("ctstate", rule.states)
    made.create_match("comment").set_parameter("comment", rule.comment)


def _target(made: Any, rule: Rule) -> None:
    if rule.jump.startswith(PREFIX):
        # Asked for a chain by name, python-iptables opens every table there is to look for it.
        made.create_target("").standard_target = rule.jump
        return
    target = made.create_target(rule.jump)
    if rule.to:
        target.set_parameter("to-destination" if rule.jump == "DNAT" else "to-source", rule.to)


def _mask(made: Any, rule: Rule, octets: bytes) -> bytes:
    mask = bytearray(made.mask)
    entry = type(made.entry)
    for field in ("nfcache", "comefrom", "counters"):
        place = getattr(entry, field)
        mask[place.offset : place.offset + place.size] = bytes(place.size)
    start = ctypes.sizeof(entry)
    while start < len(octets):
        # struct xt_entry_match and xt_entry_target: size, name, revision. What stands behind a
        # short name is left over from whatever was in the reader's memory.
        size, name = struct.unpack_from(f"=H{NAME}s", octets, start)
        used, end = start + 2 + len(name.split(b"\0")[0]) + 1, start + 2 + NAME
        mask[used:end] = bytes(end - used)
        start += size
    if rule.jump in {"ACCEPT", "DROP"} or rule.jump.startswith(PREFIX):
        # A verdict, or an offset to the chain: known by its name.
        mask[made.entry.target_offset :] = bytes(len(mask) - made.entry.target_offset)
    return bytes(mask)
