"""Live rules told in words: whose each is, what it does, in which order."""

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

import pytest

from drivers.firewall import BridgePort, FirewallNetwork, FirewallState, LiveRule, Publication
from netd.rule_view import Owner, ShownRule, concerning, shown
from netd.rule_words import FOR_ALL, OF_NETWORK
from tests.netd.live_rules import KINDS, counting

FRONT = FirewallNetwork(
    bridge="nd-f0f0f0f0f0f0",
    prefixes=(ip_network("10.7.0.0/24"), ip_network("fd00:7::/64")),
    internal=False,
    icc=True,
    masquerade=True,
    name="front",
    id="f0" * 32,
)


def network(name: str, number: int, *families: int, **more: Any) -> FirewallNetwork:
    prefixes = {4: ip_network(f"10.{number}.0.0/24"), 6: ip_network(f"fd00:{number}::/64")}
    return replace(
        FRONT,
        bridge=f"nd-{number:012}",
        prefixes=tuple(prefixes[family] for family in families or (4, 6)),
        name=name,
        id=f"{number:012}" + "0" * 52,
        **more,
    )


def published(host: str, host_port: int, to: str, port: int, **more: Any) -> Publication:
    settings = {"network": "front", "container": "web", "protocol": "tcp", **more}
    return Publication(
        address=ip_address(to),
        port=port,
        host_address=ip_address(host),
        host_port=host_port,
        **settings,
    )


def port(name: str, net: str, *addresses: str) -> BridgePort:
    own = tuple(map(ip_interface, addresses))
    return BridgePort(f"nd0{name}", "02:42:0a:07:00:02", own, net, name)


PORTS = (
    published("0.0.0.0", 8080, "10.7.0.2", 80),
    published("::", 8080, "fd00:7::2", 80),
    published("127.0.0.1", 8080, "10.7.0.2", 80),
    published("192.0.2.1", 7000, "10.7.0.2", 6000, protocol="udp", count=3),
)
OPENED = (published("0.0.0.0", 0, "10.9.0.2", 80, network="routed", container="own", count=2),)
WIDE = FirewallState(
    networks=(
        FRONT,
        network("old", 4, 4),
        network("new", 6, 6),
        network("apart", 8, icc=False),
        network("routed", 9, routed=frozenset({4, 6})),
        network("in", 10, internal=True),
        network("open", 11, unprotected=frozenset({4, 6})),
        network("snat", 12, 4, sources={4: ip_address("192.0.2.7")}),
    ),
    published={"c1": PORTS, "c2": OPENED},
    ports=(
        port("web", "front", "10.7.0.2/24", "fd00:7::2/64"),
        port("own", "routed", "10.9.0.2/24"),
    ),
    not_a_router=frozenset({4, 6}),
)


def told(kind: str, state: FirewallState = WIDE) -> Sequence[ShownRule]:
    return shown(KINDS[kind](state), state)


def seen(rules: Sequence[ShownRule], *names: str) -> dict[str, str]:
    return {rule.reason: rule.verdict for rule in rules if rule.owner == Owner(*names)}


@pytest.mark.parametrize("kind", KINDS)
def test_every_rule_of_netd_has_an_owner_and_a_sentence(kind: str) -> None:
    for rule in told(kind):
        assert "netd:" not in rule.reason and "your own rule:" not in rule.reason, rule
        assert "{" not in rule.reason and len(rule.reason) < 90, rule.reason
        of_network = f"network {rule.owner.network}" in rule.reason
        of_container = f"{rule.owner.container} " in rule.reason
        assert rule.owner == Owner() or (of_container if rule.owner.container else of_network), rule


def test_every_sentence_has_a_rule() -> None:
    comments = {rule.comment for kind in KINDS for rule in KINDS[kind](WIDE)}

    assert FOR_ALL.keys() <= comments
    for reason in OF_NETWORK:
        assert any(comment.endswith(f": {reason}") for comment in comments), reason


@pytest.mark.parametrize("kind", KINDS)
def test_the_rules_of_a_network_say_what_happens_to_which_packets(kind: str) -> None:
    found = seen(told(kind), "front")

    assert found["nobody from elsewhere gets into network front"] == "drop"
    assert found["containers of network front reach each other"] == "accept"
    assert found["what network front sends elsewhere passes"] == "accept"
    assert found["what leaves network front carries the host's address"] == "address changed"
    assert seen(told(kind), "apart")["containers of network apart are kept apart: icc is off"]
    assert seen(told(kind), "snat")["what leaves network snat carries the address 192.0.2.7"]
    assert seen(told(kind), "new")["no IPv4 gets into network new: it has none itself"] == "drop"


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_port_of_each_address_leads_where_it_leads(kind: str) -> None:
    assert seen(told(kind), "front", "web").keys() - {
        "web sends only as 10.7.0.2, fd00:7::2, MAC 02:42:0a:07:00:02"
    } == {
        "packets to this host's TCP port 8080 go to web (10.7.0.2:80)",
        "packets to this host's TCP port 8080 go to web ([fd00:7::2]:80)",
        "packets to TCP port 8080 of 127.0.0.1 go to web (10.7.0.2:80)",
        "packets to UDP ports 7000-7002 of 192.0.2.1 go to web (10.7.0.2:6000-6002)",
    }
    opened = "packets to own's own TCP ports 80-81 (10.9.0.2) pass"
    assert seen(told(kind), "routed", "own")[opened] == "accept"


def test_who_may_speak_at_a_port_is_told_though_nothing_counts_there() -> None:
    (port,) = (r for r in told("nftables") if r.stage == "send" and r.owner.container == "web")

    assert port.reason == "web sends only as 10.7.0.2, fd00:7::2, MAC 02:42:0a:07:00:02"
    assert (port.verdict, port.packets, port.bytes) == ("check", None, None)


@pytest.mark.parametrize("kind", KINDS)
def test_packets_meet_the_stages_in_their_order(kind: str) -> None:
    stages = [rule.stage for rule in told(kind)]

    assert stages == sorted(stages, key=("in", "ports", "forward", "out", "send").index)


@pytest.mark.parametrize("kind", KINDS)
def test_a_jump_stands_before_what_it_leads_to(kind: str) -> None:
    reasons = [rule.reason for rule in told(kind)]
    own_rules = next(n for n, r in enumerate(reasons) if r.startswith("your own rules come first"))

    assert reasons.index("what this host sends itself is looked up among the ports below") < (
        reasons.index("packets to this host's TCP port 8080 go to web (10.7.0.2:80)")
    )
    assert own_rules < reasons.index("answers to connections that were allowed before pass")
    assert reasons[own_rules - 1].startswith(("all that is forwarded", "packets to"))


def test_a_run_of_ports_is_one_rule_with_the_counters_of_all() -> None:
    live = [
        counting(rule, 2) if "7000-7002" in rule.comment else rule
        for rule in KINDS["nftables"](WIDE)
    ]

    (run,) = (rule for rule in shown(live, WIDE) if "7000-7002" in rule.reason)

    assert (run.packets, run.bytes) == (6, 360)
    assert [line.split()[:7] for line in run.raw.splitlines()] == [
        ["192.0.2.1", ".", "udp", ".", str(number), "counter", "packets"]
        for number in (7000, 7001, 7002)
    ]


def test_the_text_of_iptables_has_its_counters() -> None:
    live = [counting(rule, 3) for rule in KINDS["iptables"](FirewallState((FRONT,)))]

    texts = {rule.raw for rule in shown(live, FirewallState((FRONT,)))}

    assert (
        '[3:180] -A NETD-FORWARD -o nd-f0f0f0f0f0f0 -m comment --comment "netd front: no way in '
        'from elsewhere" -j DROP'
    ) in texts


@pytest.mark.parametrize("kind", KINDS)
def test_the_rules_of_a_daemon_beside_others_are_told_like_those_of_the_only_one(kind: str) -> None:
    beside = shown(KINDS[kind](WIDE, "abc123"), WIDE)

    assert [r.stage for r in beside] == [r.stage for r in told(kind)]
    assert [r.owner for r in beside] == [r.owner for r in told(kind)]


@pytest.mark.parametrize("kind", KINDS)
def test_networks_whose_names_look_alike_in_comments_are_told_apart(kind: str) -> None:
    names = ("n\u00e4", "n\u00f6", "x" * 61, "x" * 62)
    state = FirewallState(tuple(network(name, 20 + n) for n, name in enumerate(names)))

    for name in names:
        found = seen(told(kind, state), name)
        assert found[f"nobody from elsewhere gets into network {name}"] == "drop"
        assert found[f"what leaves network {name} carries the host's address"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_container_is_told_by_the_name_that_it_has_by_now(kind: str) -> None:
    rules = shown(KINDS[kind](WIDE), WIDE, {"web": "site"})

    assert not seen(rules, "front", "web")
    assert seen(rules, "front", "site").keys() >= {
        "packets to this host's TCP port 8080 go to site (10.7.0.2:80)"
    }


@pytest.mark.parametrize("kind", KINDS)
def test_names_that_look_like_comments_deceive_nobody(kind: str) -> None:
    strange = "front: way out"
    state = FirewallState(
        (FRONT, network(strange, 20)),
        published={"c": (published("0.0.0.0", 80, "10.20.0.2", 80, network=strange),)},
        ports=(port("unprotected", "front", "10.7.0.3/24"),),
    )

    rules = told(kind, state)

    assert "what network front: way out sends elsewhere passes" in seen(rules, strange)
    assert "packets to this host's TCP port 80 go to web (10.20.0.2:80)" in seen(
        rules, strange, "web"
    )
    assert not any("everybody gets into" in rule.reason for rule in rules)


def test_what_the_user_has_put_there_is_told_as_the_users_own() -> None:
    live = [
        *KINDS["nftables"](WIDE),
        LiveRule(
            "inet netd user",
            "no guests",
            'ct status dnat counter packets 7 bytes 420 drop comment "no guests"',
            7,
            420,
        ),
        LiveRule("inet netd blocked", "x", '192.0.2.1 counter packets 0 bytes 0 comment "x"', 0, 0),
    ]

    rules = shown(live, WIDE)

    (own,) = (rule for rule in rules if "no guests" in rule.reason)
    assert (own.reason, own.verdict, own.owner) == ("your own rule: no guests", "drop", Owner())
    assert (own.stage, own.packets) == ("forward", 7)
    before = rules[rules.index(own) - 1].reason
    assert before == "your own rules come first, those of chain user"


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_state_no_longer_knows_is_told_by_its_comment(kind: str) -> None:
    reasons = {rule.reason for rule in shown(KINDS[kind](WIDE), FirewallState())}

    assert {"netd front: way out", "netd front: web 8080->80/tcp"} <= reasons
    assert "answers to connections that were allowed before pass" in reasons


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_is_concerned_by_its_own_rules_and_those_for_all(kind: str) -> None:
    rules = concerning(told(kind), {"front"})

    assert {rule.owner for rule in rules} == {Owner(), Owner("front"), Owner("front", "web")}


@pytest.mark.parametrize("kind", KINDS)
def test_a_container_is_not_concerned_by_its_neighbours_ports(kind: str) -> None:
    more = published("0.0.0.0", 99, "10.7.0.3", 99, container="db")
    state = replace(WIDE, published={**WIDE.published, "c3": (more,)})

    rules = concerning(told(kind, state), {"front", "routed"}, "web")

    assert {rule.owner for rule in rules} == {
        Owner(), Owner("front"), Owner("routed"), Owner("front", "web"),
    }  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_what_has_no_rules_is_not_concerned_by_those_for_all(kind: str) -> None:
    assert not concerning(told(kind), {"host"})
    assert not concerning(told(kind), set(), "web")


def test_ten_thousand_ports_are_told_in_a_moment() -> None:
    many = published("0.0.0.0", 20000, "10.7.0.2", 20000, count=10000)
    state = FirewallState((FRONT,), published={"c": (many,)})

    (rule,) = (r for r in told("nftables", state) if r.owner.container)

    assert rule.raw.count("\n") == 9999
