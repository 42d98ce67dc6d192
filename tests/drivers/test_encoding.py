"""Rules as octets; tests/kernel/test_iptables.py shows that the kernel reads them as meant."""

from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from drivers.encoding import encoded
from drivers.rules import Rule

RULE = Rule(
    "netd front: way out",
    "ACCEPT",
    source=ip_network("10.7.0.0/24"),
    inbound="br0",
    outbound="nd-+",
    protocol="tcp",
    destination_port=53,
    states="RELATED,ESTABLISHED",
)


@pytest.mark.parametrize(
    "change",
    [
        {"comment": "netd back: way out"},
        {"jump": "DROP"},
        {"source": ip_network("10.7.0.0/25")},
        {"destination": ip_network("10.7.0.0/24")},
        {"inbound": "!br0"},
        {"inbound": "br1"},
        {"inbound": "br0+"},
        {"outbound": "nd-"},
        {"protocol": "udp"},
        {"destination_port": 54},
        {"source_port": 53},
        {"states": "ESTABLISHED"},
        {"states": ""},
    ],
)
def test_rules_that_differ_have_octets_that_differ(change: dict[str, Any]) -> None:
    other = encoded(4, replace(RULE, **change))

    assert not encoded(4, RULE).same(other.octets, other.target)


@pytest.mark.parametrize("family", [4, 6])
def test_counters_and_rests_of_memory_make_no_difference(family: int) -> None:
    rule = encoded(family, replace(RULE, source=None))
    disturbed = bytes(
        octet if mask else 0xAA for octet, mask in zip(rule.octets, rule.mask, strict=True)
    )

    assert disturbed != rule.octets
    assert rule.same(disturbed, "ACCEPT") and not rule.same(disturbed, "DROP")


@pytest.mark.parametrize(
    ("family", "to", "octets"),
    [
        (4, "192.0.2.1", bytes((192, 0, 2, 1))),
        (4, "192.0.2.1:8080", bytes((192, 0, 2, 1))),
        (6, "2001:db8::1", bytes.fromhex("20010db8000000000000000000000001")),
        (6, "[2001:db8::1]:8080", bytes.fromhex("20010db8000000000000000000000001")),
    ],
)
@pytest.mark.parametrize("jump", ["SNAT", "DNAT"])
def test_a_translation_holds_its_address_and_port(
    family: int, to: str, octets: bytes, jump: str
) -> None:
    rule = Rule("netd: x", jump, protocol="tcp", to=to)

    found = encoded(family, rule).octets

    assert octets in found
    assert (b"\x1f\x90\x1f\x90" in found) == to.endswith("8080")
