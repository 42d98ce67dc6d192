"""The live rules as people read them: whose each is, what it does and why, in the packets' order.

The state says what there can be: each comment is made again from it, and none is taken apart, for
names may hold whatever comments hold.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from drivers.contract import Address
from drivers.firewall import (
    BridgePort,
    FirewallNetwork,
    FirewallState,
    LiveRule,
    Publication,
    said,
    said_of,
)
from netd import rule_texts, rule_words
from netd.rule_texts import Stage


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a rule is, by names; both empty: it is there for all networks."""

    network: str = ""
    container: str = ""


@dataclass(frozen=True, slots=True)
class ShownRule:
    """A rule as it is told; a run of published ports is one, however many elements it has."""

    owner: Owner
    stage: Stage
    reason: str  # a sentence: what packets, what happens to them
    verdict: str  # accept, drop, return, jump, led elsewhere, address changed, check
    packets: int | None  # absent: nothing counts there
    bytes: int | None
    place: str
    raw: str  # the tool's text with counters; a line for each rule or element


def shown(
    live: Iterable[LiveRule], state: FirewallState, names: Mapping[str, str] | None = None
) -> Sequence[ShownRule]:
    """Return live rules, told from the state that they were computed from.

    `names` are those that containers have by now, by the ones that they have in the state.
    """
    known = _Known(state, names or {})
    runs: dict[object, list[LiveRule]] = {}
    for number, rule in enumerate(sorted(live, key=rule_texts.position)):
        publication = known.publication(rule)
        runs.setdefault((publication, rule.place) if publication else number, []).append(rule)
    return [known.told(run) for run in runs.values()]


def concerning(
    rules: Iterable[ShownRule], networks: Collection[str], container: str = ""
) -> Sequence[ShownRule]:
    """Return the rules of networks, of one container there or of all, and those for everybody.

    Where netd has no rule of these, no other concerns them either.
    """
    found = [
        rule
        for rule in rules
        if not rule.owner.network
        or (
            rule.owner.network in networks
            and (not container or rule.owner.container in {"", container})
        )
    ]
    return found if any(rule.owner.network for rule in found) else ()


class _Known:
    """What there is in a state, by what its rules look like."""

    def __init__(self, state: FirewallState, names: Mapping[str, str]) -> None:
        self._networks: dict[str, list[tuple[FirewallNetwork, str]]] = {}
        for network in state.networks:
            for reason in rule_words.OF_NETWORK:
                comment = said(network.name, reason)
                self._networks.setdefault(comment, []).append((network, reason))
        # The same port of several addresses has the same comment.
        self._publications: dict[object, Publication] = {
            (said_of(each), each.address.version, _destination(each)): replace(
                each, container=names.get(each.container, each.container)
            )
            for group in state.published.values()
            for each in group
        }
        self._ports = {
            port.host_interface: replace(port, container=names.get(port.container, port.container))
            for port in state.ports
        }

    def publication(self, rule: LiveRule) -> Publication | None:
        """Return the published ports that a rule or an element is for; None: for none."""
        key = (rule.comment, rule_texts.family(rule), rule_texts.destination(rule))
        return self._publications.get(key)

    def told(self, run: Sequence[LiveRule]) -> ShownRule:
        """Return what rules are and do that are one, in the state."""
        rule = run[0]
        publication, port = self.publication(rule), self._port(rule)
        network, reason = self._network(rule)
        if publication:
            owner = Owner(publication.network, publication.container)
            return _shown(run, owner, rule_words.of_publication(publication))
        if port:
            return _shown(run, Owner(port.network, port.container), rule_words.of_port(port))
        if network:
            sentence = rule_words.of_network(network, reason, rule_texts.family(rule))
            return _shown(run, Owner(network.name), sentence)
        return _shown(run, Owner(), _for_all(rule))

    def _port(self, rule: LiveRule) -> BridgePort | None:
        if rule_texts.place(rule) != "bridge ports":
            return None
        return self._ports.get(rule_texts.words(rule)[0])

    def _network(self, rule: LiveRule) -> tuple[FirewallNetwork | None, str]:
        found = self._networks.get(rule.comment, [])
        for network, reason in found:
            # Names that differ only in what no comment can hold have the same comments.
            marks = {network.bridge, *map(str, network.prefixes)}
            own_chain = rule.place.endswith(f"-{network.id[:12]}")
            if len(found) == 1 or own_chain or marks.intersection(rule_texts.words(rule)):
                return network, reason
        return None, ""


def _shown(run: Sequence[LiveRule], owner: Owner, sentence: str) -> ShownRule:
    first = run[0]
    return ShownRule(
        owner=owner,
        stage=rule_texts.stage(first),
        reason=sentence,
        verdict=rule_texts.verdict(first),
        packets=_sum(rule.packets for rule in run),
        bytes=_sum(rule.bytes for rule in run),
        place=first.place,
        raw="\n".join(rule_texts.counted(rule) for rule in run),
    )


def _sum(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _for_all(rule: LiveRule) -> str:
    own = rule.place.lower().endswith(" output")
    sentence = rule_words.of_all(rule.comment, chain=rule_texts.jump(rule), own=own)
    if sentence:
        return sentence
    return f"your own rule: {rule.comment}" if rule_texts.is_users(rule) else rule.comment


def _destination(each: Publication) -> Address | None:
    if not each.host_port:
        return each.address
    return None if each.host_address.is_unspecified else each.host_address
