"""Live rules without a kernel: what the pure functions want, as the tools would list it."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from drivers import nft_rules, spoofing
from drivers.firewall import FirewallState, LiveRule
from drivers.iptables_rules import ruleset
from drivers.rules import Rule

NOTHING = "counter packets 0 bytes 0"


def iptables_rules(state: FirewallState, owner: str = "") -> Iterator[LiveRule]:
    for table in ruleset(state, owner).tables:
        tool = "iptables" if table.family == 4 else "ip6tables"

        def live(chain: str, rule: Rule, place: str = f"{tool} {table.name}") -> LiveRule:
            raw = f"-t {place.split()[1]} {rule.text(chain)}"
            return LiveRule(f"{place} {chain}", rule.comment, raw, 0, 0)

        for chain, rules in table.chains.items():
            yield from (live(chain, rule) for rule in rules or ())
        for chain, rule in (*table.jumps.items(), *table.last_jumps.items()):
            yield live(chain, rule)


def nft_rules_of(state: FirewallState, owner: str = "") -> Iterator[LiveRule]:
    pieces = {**nft_rules.pieces(state, owner), **spoofing.pieces(state.ports, owner)}
    for piece in pieces.values():
        for command in piece.block().make:
            kind = command.split()[1]
            if kind in {"rule", "element"}:
                *_, family, table, name, text = command.split(maxsplit=5)
                texts = [text] if kind == "rule" else text.strip("{ }").split(", ")
                yield from _told(f"{family} {table} {name}", texts, counts=family == "inet")


KINDS = {"iptables": iptables_rules, "nftables": nft_rules_of}


def counting(rule: LiveRule, packets: int) -> LiveRule:
    """Return a rule that has counted packets of 60 octets."""
    raw = rule.raw.replace(NOTHING, f"counter packets {packets} bytes {60 * packets}")
    return replace(rule, raw=raw, packets=packets, bytes=60 * packets)


def _told(place: str, texts: Iterable[str], *, counts: bool) -> Iterator[LiveRule]:
    for text in texts:
        raw = text.replace("counter", NOTHING)
        if counts and "counter" not in raw:  # the elements of maps that count
            raw = raw.replace("comment", f"{NOTHING} comment")
        comment = re.search('comment "([^"]*)"', raw)
        if comment:
            packets = 0 if "counter" in raw else None
            yield LiveRule(place, comment[1], raw, packets, packets)
