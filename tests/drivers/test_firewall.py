"""Rule sets compared whole, as text; NETD_GOLDEN=write pytest ... writes them anew."""

import os
from dataclasses import replace
from ipaddress import ip_address, ip_network
from itertools import permutations
from pathlib import Path

import pytest

from drivers.contract import DriverError, Network, Subnet
from drivers.firewall import (
    FirewallNetwork,
    Rule,
    Ruleset,
    firewall_network,
    resolver_ruleset,
    ruleset,
)

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
CASES = {
    "none": [],
    "one": [FRONT],
    "two": [FRONT, BACK],
    "internal": [replace(FRONT, internal=True), BACK],
    "named-bridge": [replace(FRONT, bridge="br0"), BACK],
    "icc-off": [replace(FRONT, icc=False)],
    "masquerade-off": [replace(FRONT, masquerade=False)],
    "routed": [replace(FRONT, routed=frozenset({4, 6}))],
    "routed-ipv6": [replace(FRONT, routed=frozenset({6}))],
    "unprotected": [replace(FRONT, unprotected=frozenset({4, 6}))],
    "source": [
        replace(FRONT, sources={4: ip_address("192.0.2.1"), 6: ip_address("2001:db8::1")}),
    ],
    "global-ipv6": [replace(FRONT, prefixes=(ip_network("2001:db8:7::/64"),))],
    "hostile-name": [replace(FRONT, name="a\"b\\c'd\ne ü" + "x" * 300)],
}


def compared(name: str, rules: Ruleset) -> None:
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("NETD_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(rules.text())

    assert rules.text() == path.read_text()


@pytest.mark.parametrize("name", CASES)
def test_the_rules_for_these_networks_are_as_agreed(name: str) -> None:
    compared(name, ruleset(CASES[name]))


def test_the_rules_for_a_resolver_are_as_agreed() -> None:
    compared("resolver", resolver_ruleset(ip_address("127.0.0.11"), 31053))


def test_every_golden_file_has_its_case() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == {*CASES, "resolver"}


def test_the_order_of_networks_makes_no_difference() -> None:
    networks = [FRONT, BACK, replace(FRONT, bridge="br0", name="third")]

    assert len({ruleset(order).text() for order in permutations(networks)}) == 1


def test_every_rule_says_whose_it_is_and_why() -> None:
    for name, networks in CASES.items():
        for table in ruleset(networks).tables:
            rules = [r for chain in table.chains.values() for r in chain or ()]
            for rule in (*rules, *table.jumps.values()):
                assert rule.comment.startswith("netd") and ": " in rule.comment, name
                assert len(rule.comment.encode()) < 256, name


def test_a_packet_into_a_network_is_dropped_before_any_way_out_is_accepted() -> None:
    tables = {(t.family, t.name): t for t in ruleset([FRONT, BACK]).tables}

    for family in (4, 6):
        rules = tables[family, "filter"].chains["NETD-FORWARD"] or ()
        drops = [n for n, rule in enumerate(rules) if rule.jump == "DROP"]
        ways_out = [n for n, rule in enumerate(rules) if "way out" in rule.comment]
        assert drops and max(drops) < min(ways_out)


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
    )


def test_a_network_without_options_has_dockers_defaults() -> None:
    found = firewall_network(network())

    assert (found.bridge, found.icc, found.masquerade) == ("nd-f0f0f0f0f0f0", True, True)
    assert (found.routed, found.unprotected, found.sources) == (frozenset(), frozenset(), {})


def test_a_network_with_impossible_options_has_no_rules() -> None:
    with pytest.raises(DriverError, match=r"enable_icc='maybe': must be true or false"):
        firewall_network(network(com__docker__network__bridge__enable_icc="maybe"))
