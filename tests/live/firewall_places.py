"""Chains, sets and maps in the order in which packets meet them, and what no comment says."""

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Where rules or elements stand; a trailing -* means one for each network."""

    name: str
    when: str  # packets come there, or rules look there


IPTABLES = (
    Place(
        "table raw, chain NETD-PREROUTING",
        "All that comes in by an interface, before anything else: it still has the destination "
        "that it was sent to.",
    ),
    Place(
        "table nat, chain NETD-DNAT",
        "The first packet of each connection that comes in or that a process of this host begins; "
        "what is done to it is done to all that follow, and undone for the answers.",
    ),
    Place("table filter, chain NETD-USER", "All that is forwarded, before netd's own rules."),
    Place(
        "table filter, chain NETD-FORWARD",
        "All that goes through this host, from one interface to another: out of a network, into "
        "one, or on within it. The first rule that fits decides.",
    ),
    Place(
        "table filter, chain NETD-STRANGERS",
        "What is forwarded and has neither been accepted nor dropped by any rule of anybody.",
    ),
    Place(
        "table nat, chain NETD-POSTROUTING",
        "The first packet of each connection that goes out by an interface.",
    ),
)

NFTABLES = (
    Place("set bridges", "No packet comes here; rules look here for the bridges of netd."),
    Place("chain raw", "All that comes in by an interface, before anything else."),
    *(
        Place(f"set private{family}", f"Where the chain raw looks, for IPv{family}.")
        for family in (4, 6)
    ),
    Place(
        "chain prerouting",
        "The first packet of each connection that comes in; what is done to it is done to all "
        "that follow, and undone for the answers.",
    ),
    Place(
        "chain output", "The first packet of each connection that a process of this host begins."
    ),
    Place("chain published", "What is for this host itself, from both chains before."),
    *(
        Place(f"map published{family}{suffix}", f"Where the chain published looks for {whose}.")
        for family in (4, 6)
        for suffix, whose in (
            ("", f"IPv{family} ports of one address"),
            ("_any", f"IPv{family} ports of all addresses"),
        )
    ),
    Place("chain user", "All that is forwarded, before netd's own rules."),
    Place(
        "chain forward",
        "All that goes through this host, from one interface to another: out of a network, into "
        "one, or on within it.",
    ),
    Place("map closed", "Where the chain forward looks for the bridge by which a packet came."),
    Place("chain closed-*", "What comes from this network."),
    Place("map into", "Where the chain forward looks for the bridge by which a packet goes on."),
    Place("chain into-*", "What goes into this network. The first rule that fits decides."),
    *(
        Place(f"set opened{family}", "Where the chain of a routed network looks for ports.")
        for family in (4, 6)
    ),
    Place(
        "map out",
        "Where the chain forward looks for the bridge by which a packet came that does not go "
        "into a network.",
    ),
    Place(
        "chain strangers", "What is forwarded, and neither comes from a network nor goes to one."
    ),
    Place(
        "chain postrouting", "The first packet of each connection that goes out by an interface."
    ),
    Place("map returning", "Where the chain postrouting looks for the bridge a packet goes to."),
    Place("chain returning-*", "What goes into this network."),
    Place("map leaving", "Where the chain postrouting looks for the bridge a packet came from."),
    Place("chain leaving-*", "What comes from this network."),
)

GUARD = (
    Place("set ports", "The host's ends of the wires to containers."),
    Place("set macs", "Who may send with which MAC, by the end of its wire."),
    Place("set addresses4", "Likewise for IPv4."),
    Place("set addresses6", "Likewise for IPv6, the link-local address too."),
    Place("set targets6", "The same addresses as figures, as they stand in ICMPv6."),
    Place(
        "chain prerouting", "Each frame that comes to a bridge, before the bridge itself sees it."
    ),
)

# What has no comment of its own, by its place and its text; or by its place alone.
_UNSAID: Mapping[tuple[str, str], str] = {
    ("chain published", "dnat ip to ip daddr . meta l4proto . th dport map @published4"):
        "a published port of this very address: on to the container",
    ("chain published", "meta nfproto ipv4 dnat ip to meta l4proto . th dport map @published4_any"):
        "a published port of all addresses: on to the container",
    ("chain published", "dnat ip6 to ip6 daddr . meta l4proto . th dport map @published6"):
        "a published port of this very address: on to the container",
    (
        "chain published",
        "meta nfproto ipv6 dnat ip6 to meta l4proto . th dport map @published6_any",
    ): "a published port of all addresses: on to the container",
    ("chain forward", "iifname vmap @closed"):
        "what comes from a network that is internal, or of one family, runs through its chain",
    ("chain forward", "oifname vmap @into"):
        "what goes into a network, or on within it, runs through its chain",
    ("chain forward", "iifname vmap @out"): "what else comes from a network with a way out passes",
    ("chain forward", "jump strangers"): "what concerns no network runs through chain strangers",
    ("chain postrouting", "oifname vmap @returning"):
        "what goes into a network runs through its chain",
    ("chain postrouting", "iifname vmap @leaving"):
        "what comes from a network runs through its chain",
    ("chain prerouting", "iifname != @ports accept"):
        "what comes from no container is not looked at any further",
    ("chain prerouting", "ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept"):
        "who has no address yet may ask for one (DHCP)",
    (
        "chain prerouting",
        "ip6 saddr :: icmpv6 type nd-neighbor-solicit iifname . @th,64,128 @targets6 accept",
    ): "who has no address yet may ask whether somebody else has its own (ICMPv6)",
    ("chain prerouting", "ip6 saddr :: icmpv6 type mld2-listener-report accept"):
        "who has no address yet may join groups (ICMPv6)",
    ("set bridges", ""): "the bridge of network {name}",
    ("map closed", ""): "what comes from network {name} runs through its chain",
    ("map into", ""): "what goes into network {name} runs through its chain",
    ("map returning", ""): "what goes into network {name} runs through its chain",
    ("map leaving", ""): "what comes from network {name} runs through its chain",
    ("set private4", ""): "nobody from elsewhere gets directly to addresses of network {name}",
    ("set private6", ""): "nobody from elsewhere gets directly to addresses of network {name}",
    ("set macs", ""): "{name} has this MAC",
    ("set addresses4", ""): "{name} has this IPv4 address",
    ("set addresses6", ""): "{name} has this IPv6 address",
    ("set targets6", ""): "{name} may speak for this IPv6 address",
}  # fmt: skip


def unsaid(place: str, text: str) -> str:
    """Return what a rule or an element does that has no comment; KeyError: nobody has said it."""
    sentence = _UNSAID.get((place, text)) or _UNSAID[place, ""]
    found = re.match(r'"nd-?(\w+)"', text)
    return sentence.format(name=found[1] if found else "")


def place_of(name: str, places: tuple[Place, ...]) -> tuple[int, Place]:
    """Return the place of this name and its rank; LookupError: there is none."""
    for rank, place in enumerate(places):
        prefix, star, _ = place.name.partition("*")
        if name == place.name or (star and name.startswith(prefix)):
            return rank, place
    raise LookupError(f"no place of packets is named {name!r}")
