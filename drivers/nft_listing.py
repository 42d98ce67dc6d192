"""What nf_tables lists of a table, made comparable, and read as rules with their counters."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from drivers.firewall import LiveRule
from drivers.nft_rules import CHAINS_OF_NETWORKS, USER

COUNTER = re.compile(r"counter packets (\d+) bytes (\d+)")
COMMENT = re.compile(r'comment "([^"]*)"')


@dataclass(frozen=True, slots=True)
class Listing:
    """A table's chains, rules, sets and elements as text, without handles and counters."""

    exists: bool = False
    chains: Mapping[str, str] = field(default_factory=dict)  # name -> where it hangs
    bases: tuple[str, ...] = ()  # those that hang on a hook
    rules: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by chain, in order
    sets: Mapping[str, frozenset[str]] = field(default_factory=dict)  # name -> elements
    kinds: Mapping[str, str] = field(default_factory=dict)  # set or map


def listing(objects: Sequence[Mapping[str, Any]]) -> Listing:
    """Return a table from the objects of libnftables-json(5)."""
    chains: dict[str, str] = {}
    bases: list[str] = []
    rules: dict[str, tuple[str, ...]] = {}
    sets: dict[str, frozenset[str]] = {}
    kinds: dict[str, str] = {}
    for each in objects:
        ((kind, said),) = each.items()
        name = said.get("name", "")
        if kind == "chain":
            chains[name] = " ".join(str(said.get(key)) for key in ("type", "hook", "prio"))
            bases += [name] * ("hook" in said)
            rules.setdefault(name, ())
        elif kind == "rule":
            text = _text({key: said.get(key) for key in ("expr", "comment")})
            rules[said["chain"]] = (*rules.get(said["chain"], ()), text)
        elif kind in {"set", "map"}:
            sets[name] = frozenset(_text(element) for element in said.get("elem", ()))
            kinds[name] = kind
    return Listing(bool(objects), chains, tuple(bases), rules, sets, kinds)


def differences(should: Listing, live: Listing) -> Iterator[str]:
    """Yield what a table lacks, and what does not belong there, each in a few words."""
    if should.exists and not live.exists:
        yield "the whole table"
        return
    for chain, where in should.chains.items():
        if live.chains.get(chain) != where:
            yield f"chain {chain}"
        elif chain != USER and live.rules[chain] != should.rules[chain]:
            yield _difference(should.rules[chain], live.rules[chain], "rule", chain)
    for name, elements in should.sets.items():
        if name not in live.sets:
            yield f"set {name}"
        elif live.sets[name] != elements:
            yield _difference(elements, live.sets[name], "element", name)
    for chain in live.chains:
        if network_chain(chain) and chain not in should.chains:
            yield f"something else: chain {chain}"


def network_chain(name: str) -> bool:
    """Return whether a chain is one of those that each network has."""
    return re.fullmatch(rf"({'|'.join(CHAINS_OF_NETWORKS)})-[0-9a-f]{{12}}", name) is not None


def live_rules(text: str) -> Iterator[LiveRule]:
    """Yield the rules and elements that have a comment, from tables as nft(8) lists them."""
    table = place = ""
    for line in text.splitlines():
        words = line.split()
        if line.startswith("table "):
            table = " ".join(words[1:3])
        elif words[:1] in (["chain"], ["set"], ["map"]):
            place = words[1]
        elif COMMENT.search(line) and words[0] != "comment":  # a set's own
            raw = re.sub(r"^elements = \{|[,}]$", "", line.strip()).strip()
            yield _live(f"{table} {place}", raw)


def _live(place: str, raw: str) -> LiveRule:
    counter, comment = COUNTER.search(raw), COMMENT.search(raw)
    assert comment
    packets, octets = map(int, counter.groups()) if counter else (None, None)
    return LiveRule(place, comment[1], raw, packets, octets)


def _difference(
    should: Sequence[str] | frozenset[str],
    live: Sequence[str] | frozenset[str],
    what: str,
    where: str,
) -> str:
    lost = len([each for each in should if each not in live])
    if not lost:
        return f"something else in {where}"
    return f"{lost} {what}{'s' * (lost > 1)} of {where}"


def _text(value: object) -> str:
    return json.dumps(_still(value), sort_keys=True)


def _still(value: Any) -> Any:
    """Return a value without what counts."""
    if isinstance(value, dict):
        return {
            key: _still(each) if key != "counter" else None
            for key, each in value.items()
            if key != "handle"
        }
    if isinstance(value, list):
        return [_still(each) for each in value]
    return value
