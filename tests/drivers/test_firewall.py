"""Rule sets compared whole, as text; NETD_GOLDEN=write pytest ... writes them anew."""

import os
import re
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from drivers import nft_blocks, nft_rules, spoofing
from drivers.contract import DriverError, Network, Subnet
from drivers.firewall import (
    BridgePort,
    FirewallNetwork,
    FirewallState,
    Publication,
    firewall_network,
    said_of,
)
from drivers.iptables_rules import resolver_ruleset, ruleset
from drivers.rules import Rule

GOLDEN = Path(__file__).parent.parent / "golden" / "firewall"

FRONT = FirewallNetwork(
    bridge="nd-f0f0f0f0f0f0",
    prefixes=(ip_network("10.7.0.0/24"), ip_network("fd00:7::/64")),
    internal=False,
    icc=True,
    masquerade=True,
    name="front",
)
BACK = replace(FRONT, bridge="nd-ba00ba00ba00", prefixes=(ip_network("10.8.0.0/24"),), name="back")


def published(protocol: str, where: str, host_port: int, to: str, port: int, **more: Any) -> Any:
    return Publication(
        more.pop("network", "front"), "web", protocol, ip_address(to), port,
        ip_address(where), host_port, **more,
    )  # fmt: skip


PORTS = (
    published("tcp", "0.0.0.0", 8080, "10.7.0.2", 80),
    published("tcp", "::", 8080, "fd00:7::2", 80),
    published("udp", "192.0.2.1", 53, "10.7.0.2", 5353),
    published("tcp", "127.0.0.1", 9000, "10.7.0.2", 9000, count=3),
    published("udp", "0.0.0.0", 7000, "10.7.0.2", 6000, count=3),
    published("sctp", "0.0.0.0", 99, "10.7.0.2", 99),
)
OPENED = (
    published("tcp", "0.0.0.0", 0, "10.7.0.2", 80),
    published("tcp", "::", 0, "fd00:7::2", 80, count=2),
)
GUARDED = (
    BridgePort(
        "nd0102030405ff",
        "02:42:0a:07:00:02",
        (ip_interface("10.7.0.2/24"), ip_interface("fd00:7::2/64")),
        "front",
        "web",
    ),
    BridgePort("nd0102030405aa", "02:42:0a:08:00:02", (ip_interface("10.8.0.2/24"),), "back", "b"),
)


def state(*networks: FirewallNetwork, **more: Any) -> FirewallState:
    return FirewallState(networks, **more)


CASES = {
    "none": state(),
    "one": state(FRONT),
    "two": state(FRONT, BACK),
    "internal": state(replace(FRONT, internal=True), BACK),
    "named-bridge": state(replace(FRONT, bridge="br0"), BACK),
    "icc-off": state(replace(FRONT, icc=False), published={"c": PORTS[:1]}),
    "masquerade-off": state(replace(FRONT, masquerade=False)),
    "routed": state(replace(FRONT, routed=frozenset({4, 6})), published={"c": OPENED}),
    "routed-ipv6": state(replace(FRONT, routed=frozenset({6}))),
    "unprotected": state(replace(FRONT, unprotected=frozenset({4, 6}))),
    "source": state(
        replace(FRONT, sources={4: ip_address("192.0.2.1"), 6: ip_address("2001:db8::1")})
    ),
    "global-ipv6": state(replace(FRONT, prefixes=(ip_network("2001:db8:7::/64"),))),
    "hostile-name": state(replace(FRONT, name="a\"b\\c'd\ne ü" + "x" * 300)),
    "published": state(FRONT, published={"c": PORTS}),
    "no-router": state(FRONT, not_a_router=frozenset({4, 6})),
    "guarded": state(FRONT, BACK, ports=GUARDED),
}
KINDS = {
    "iptables": lambda it: ruleset(it).text(),
    "nftables": lambda it: nft_blocks.text(nft_rules.pieces(it) | spoofing.pieces(it.ports)),
}


def compared(name: str, text: str) -> None:
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("NETD_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)

    assert text == path.read_text()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CASES)
def test_the_rules_for_this_state_are_as_agreed(name: str, kind: str) -> None:
    compared(f"{kind}/{name}", KINDS[kind](CASES[name]))


def test_the_rules_for_a_resolver_are_as_agreed() -> None:
    compared("iptables/resolver", resolver_ruleset(ip_address("127.0.0.11"), 31053).text())


def test_every_golden_file_has_its_case() -> None:
    cases = {f"{kind}/{name}" for kind in KINDS for name in CASES} | {"iptables/resolver"}

    assert {
        str(path.relative_to(GOLDEN).with_suffix("")) for path in GOLDEN.rglob("*.txt")
    } == cases


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_networks_makes_no_difference(kind: str) -> None:
    networks = [FRONT, BACK, replace(FRONT, bridge="br0", name="third")]

    assert len({KINDS[kind](state(*order)) for order in permutations(networks)}) == 1


def test_the_order_of_ports_makes_no_difference_to_iptables() -> None:
    orders = permutations(PORTS[:4])

    assert len({ruleset(state(FRONT, published={"c": order})).text() for order in orders}) == 1


def test_every_rule_says_whose_it_is_and_why() -> None:
    for name, case in CASES.items():
        for table in ruleset(case).tables:
            rules = [r for chain in table.chains.values() for r in chain or ()]
            for rule in (*rules, *table.jumps.values(), *table.last_jumps.values()):
                assert rule.comment.startswith("netd") and ": " in rule.comment, name
                assert len(rule.comment.encode()) < 256, name
        for line in KINDS["nftables"](case).splitlines():
            # nf_tables keeps 128 octets; look-ups in maps have their comments in the maps.
            comments = re.findall(r'comment "([^"]*)"', line)
            assert all(each.startswith("netd") and len(each) < 128 for each in comments), line
            assert comments or "counter" not in line


@pytest.mark.parametrize("family", [4, 6])
def test_a_packet_into_a_network_is_dropped_before_any_way_out_is_accepted(family: int) -> None:
    tables = {(t.family, t.name): t for t in ruleset(state(FRONT, BACK)).tables}

    rules = tables[family, "filter"].chains["NETD-FORWARD"] or ()
    drops = [n for n, rule in enumerate(rules) if rule.jump == "DROP"]
    ways_out = [n for n, rule in enumerate(rules) if "way out" in rule.comment]
    assert drops and max(drops) < min(ways_out)


def test_a_published_port_is_named_by_its_container_and_both_numbers() -> None:
    assert [said_of(each) for each in (*PORTS[:4], OPENED[1])] == [
        "netd front: web 8080->80/tcp",
        "netd front: web 8080->80/tcp",
        "netd front: web 53->5353/udp",
        "netd front: web 9000-9002->9000-9002/tcp",
        "netd front: web 80-81/tcp",
    ]


def test_a_piece_is_taken_away_by_what_it_was_made_from() -> None:
    pieces = nft_rules.pieces(CASES["published"])

    made, unmade = (getattr(pieces["published c"].block(), n) for n in ("make", "unmake"))
    assert [line.replace("delete", "add", 1) for line in unmade] == [*made]


def test_pieces_are_equal_if_what_they_are_made_from_is() -> None:
    before, after = (nft_rules.pieces(state(FRONT, n, published={"c": PORTS})) for n in
                     (BACK, replace(BACK, icc=False)))  # fmt: skip

    assert [name for name in before if before[name] != after[name]] == [f"network {BACK.bridge}"]


def test_a_rule_is_written_as_iptables_save_does() -> None:
    rule = Rule(
        "netd x: why",
        "DNAT",
        source=ip_network("10.0.0.0/8"),
        destination=ip_network("192.0.2.1/32"),
        inbound="!br0",
        outbound="nd-+",
        protocol="tcp",
        destination_port=80,
        states="NEW",
        to="10.0.0.2:8080",
    )

    assert rule.text("X") == (
        "-A X -s 10.0.0.0/8 -d 192.0.2.1/32 ! -i br0 -o nd-+ -p tcp -m tcp --dport 80 "
        '-m conntrack --ctstate NEW -m comment --comment "netd x: why" '
        "-j DNAT --to-destination 10.0.0.2:8080"
    )


def network(**options: str) -> Network:
    return Network(
        id="f0" * 32,
        name="front",
        subnets=(Subnet(ip_network("10.7.0.0/24"), ip_address("10.7.0.1")),),
        internal=True,
        options={key.replace("__", "."): value for key, value in options.items()},
    )


def test_the_firewall_knows_a_network_by_its_options() -> None:
    found = firewall_network(
        network(
            com__docker__network__bridge__name="br0",
            com__docker__network__bridge__enable_icc="false",
            com__docker__network__bridge__enable_ip_masquerade="0",
            com__docker__network__bridge__gateway_mode_ipv4="routed",
            com__docker__network__bridge__gateway_mode_ipv6="nat-unprotected",
            com__docker__network__host_ipv4="192.0.2.1",
        )
    )

    assert found == FirewallNetwork(
        bridge="br0",
        prefixes=(ip_network("10.7.0.0/24"),),
        internal=True,
        icc=False,
        masquerade=False,
        name="front",
        routed=frozenset({4}),
        unprotected=frozenset({6}),
        sources={4: ip_address("192.0.2.1")},
        id="f0" * 32,
    )


def test_a_network_without_options_has_dockers_defaults() -> None:
    found = firewall_network(network())

    assert (found.bridge, found.icc, found.masquerade) == ("nd-f0f0f0f0f0f0", True, True)
    assert (found.routed, found.unprotected, found.sources) == (frozenset(), frozenset(), {})


def test_a_network_with_impossible_options_has_no_rules() -> None:
    with pytest.raises(DriverError, match=r"enable_icc='maybe': must be true or false"):
        firewall_network(network(com__docker__network__bridge__enable_icc="maybe"))
