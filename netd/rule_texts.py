"""What a live rule's place and text say, of either tool: its stage, order, family and verdict."""

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Literal

from drivers.contract import Address
from drivers.firewall import LiveRule
from drivers.iptables_rules import DNAT, FORWARD, POSTROUTING, PREROUTING, STRANGERS, USER

Stage = Literal["in", "ports", "forward", "out", "send"]

_USERS = ("user", USER)

# Chains, sets and maps in the order in which a packet meets them, without the digits that tell
# those of networks and daemons apart. What containers send is looked at first of all, where their
# wires end; it comes last because it is a story of its own.
_PLACES: tuple[tuple[Stage, tuple[str, ...]], ...] = (
    ("in", ("raw", PREROUTING)),
    ("ports", ("published", DNAT)),
    ("ports", ("published4", "published4_any", "published6", "published6_any")),
    ("forward", ("forward", FORWARD, *_USERS)),
    ("forward", ("closed",)),
    ("forward", ("opened4", "opened6")),
    ("forward", ("into",)),
    ("forward", ("out",)),
    ("forward", ("strangers", STRANGERS)),
    ("out", ("postrouting", POSTROUTING)),
    ("out", ("returning",)),
    ("out", ("leaving",)),
    ("send", ("bridge ports",)),
    ("send", ("bridge prerouting",)),
)
_RANKS = {name: rank for rank, (_, names) in enumerate(_PLACES) for name in names}
_DIGITS = re.compile(r"-(?:[0-9a-f]{6}|[0-9a-f]{12})$")
_DESTINATION = re.compile(r" -d (\S+)/\d+ ")
_VERDICTS: Mapping[str, str] = {
    "accept": "accept", "drop": "drop", "reject": "drop", "return": "return", "jump": "jump",
    "goto": "jump", "dnat": "led elsewhere", "redirect": "led elsewhere",
    "snat": "address changed", "masquerade": "address changed",
}  # fmt: skip
_VERDICTS_OF_ELEMENTS = {"published": "led elsewhere", "opened": "accept"}


def stage(rule: LiveRule) -> Stage:
    """Return the part of a packet's way in which it meets the rule."""
    return _PLACES[position(rule)[0]][0]


def position(rule: LiveRule) -> tuple[int, int]:
    """Return what puts rules in order; a jump stands before the rules that it leads to."""
    name, target = place(rule), _plain(jump(rule))
    if is_users(rule):
        return _RANKS[USER], 2  # it comes first in netd's chain, behind the two jumps
    if target in _RANKS:
        return _RANKS[target], int(target in _USERS)
    return _RANKS[name], 3


def is_users(rule: LiveRule) -> bool:
    """Return whether it is where the user's own rules and sets are."""
    name = place(rule)
    # Of the built-in chains only netd's jumps are told.
    return name in _USERS or (name not in _RANKS and _plain(jump(rule)) not in _RANKS)


def place(rule: LiveRule) -> str:
    """Return the chain, set or map, without digits: `forward`, `NETD-FORWARD`, `bridge ports`."""
    family, *_, name = rule.place.split()
    plain = _plain(name)
    return f"bridge {plain}" if family == "bridge" else plain


def family(rule: LiveRule) -> int:
    """Return 6 where it says that it is for IPv6, else 4."""
    if rule.place.startswith("ip6tables ") or re.match("(published|opened)6", place(rule)):
        return 6
    return 6 if {"ip6", "ipv6"}.intersection(words(rule)) else 4


def destination(rule: LiveRule) -> Address | None:
    """Return the one address that packets are for; None: the rule names none, or is no such."""
    if of_iptables(rule):
        found = _DESTINATION.search(rule.raw)
        return ip_address(found[1]) if found else None
    of_one = re.fullmatch("(published|opened)[46]", place(rule))
    return ip_address(rule.raw.split()[0]) if of_one else None


def verdict(rule: LiveRule) -> str:
    """Return what happens to the packets, in a word or two."""
    if of_iptables(rule):
        target = jump(rule).lower()
        return _VERDICTS.get(target, "jump")
    # Of what it matches there may be some of these words before it: `ct status dnat accept`.
    known = (_VERDICTS[word] for word in reversed(words(rule)) if word in _VERDICTS)
    # The verdict of most elements is that of the rule that looks them up.
    of_element = _VERDICTS_OF_ELEMENTS.get(re.sub(r"[46](_any)?$", "", place(rule)), "check")
    return next(known, of_element)


def jump(rule: LiveRule) -> str:
    """Return the chain or the target that it leads to; empty: it leads nowhere."""
    found = re.search(r"(?:^| )(?:-j|jump|goto) (\S+)", _uncommented(rule))
    return found[1] if found else ""


def words(rule: LiveRule) -> list[str]:
    """Return the words of its text, without its comment and quotes."""
    return _uncommented(rule).replace('"', " ").split()


def counted(rule: LiveRule) -> str:
    """Return its text as the tool lists it with counters."""
    if not of_iptables(rule):
        return rule.raw  # it has them
    _, table, _ = rule.place.split()
    return f"[{rule.packets}:{rule.bytes}] {rule.raw.removeprefix(f'-t {table} ')}"


def of_iptables(rule: LiveRule) -> bool:
    """Return whether it is a rule of iptables or ip6tables."""
    return rule.place.startswith(("iptables ", "ip6tables "))


def _plain(name: str) -> str:
    return _DIGITS.sub("", name)


def _uncommented(rule: LiveRule) -> str:
    return rule.raw.replace(f'"{rule.comment}"', "")
